/** Idle system, warm worker, 10 jobs a second: from the answer of POST until the handler has started. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { call, ms, quantile, report, withStack } from './support.ts';

const JOBS = Number(process.env.JOBS ?? 300);
const SPACING_MS = 100;
const WARM_UP = 300;

await withStack({ auth: 'keys' }, async (stack) => {
  const answeredAtMs = new Map<string, number>();
  const submit = async (n: number) => {
    const body = JSON.stringify({
      type: 'contract-source',
      input: { address: `0x${n.toString(16).padStart(40, '0')}` },
    });
    const { id } = await call<{ id: string }>(stack, '/v1/jobs', { method: 'POST', body });
    answeredAtMs.set(id, Date.now());
  };
  const client = new pg.Client({ connectionString: stack.postgresUrl });
  await client.connect();
  // All of them have compiled what they need, and rest, when it begins.
  for (let n = 0; n < WARM_UP; n += 1) await submit(1_000_000 + n);
  const isWarm = "select count(*) from longshore.jobs where status = 'SUCCESS'";
  while (Number((await client.query(isWarm)).rows[0].count) < WARM_UP) await sleep(100);
  answeredAtMs.clear();
  const submissions: Promise<void>[] = [];
  for (let n = 0; n < JOBS; n += 1) {
    submissions.push(submit(n));
    await sleep(SPACING_MS);
  }
  await Promise.all(submissions);
  let rows: { id: string; started_at: Date }[] = [];
  while (rows.length < JOBS) {
    await sleep(100);
    ({ rows } = await client.query(
      'select id, started_at from longshore.jobs where started_at is not null and id = any ($1)',
      [[...answeredAtMs.keys()]],
    ));
  }
  await client.end();
  // Server and client share the machine's clock. The handler may start before the answer has arrived: that is 0.
  const waits = rows.map((row) => Math.max(0, row.started_at.getTime() - (answeredAtMs.get(row.id) ?? 0)));
  report('latency', {
    jobs: JOBS,
    'answer → handler started, p50': ms(quantile(waits, 0.5)),
    'answer → handler started, p99': ms(quantile(waits, 0.99)),
    'answer → handler started, max': ms(Math.max(...waits)),
  });
});
