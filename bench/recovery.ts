/**
 * What an accident costs: Redis flushed with 1,000 jobs in the window until all are on the queue again; a worker killed
 * (SIGKILL) until its jobs are started again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { startFakeEtherscan } from '../test/support/fake-etherscan.ts';
import { call, ms, quantile, report, withStack } from './support.ts';

const KILLS = Number(process.env.KILLS ?? 3);
const WINDOW = 1_000;
const JOBS_A_KILL = 10;

/** From FLUSHALL until the queue has as many entries as before. No worker takes any. */
async function flush(): Promise<number> {
  return withStack({ env: { LONGSHORE_WORKER_CONCURRENCY: '1000' } }, async (stack) => {
    const worker = stack.processes.get('worker');
    // The worker is frozen once it is known, so that its types are served and nothing is taken.
    if (worker !== undefined) process.kill(worker.pid, 'SIGSTOP');
    for (let n = 0; n < WINDOW; n += 100) {
      const jobs = Array.from({ length: 100 }, (_, m) => ({
        type: 'contract-source',
        // Raised: a tenth of the window is for these alone, and all of it is to be full.
        priority: 1,
        input: { address: `0x${(n + m).toString(16).padStart(40, '0')}` },
      }));
      await call(stack, '/v1/jobs:batch', { method: 'POST', body: JSON.stringify({ jobs }) });
    }
    const redis = new Redis(stack.redisUrl);
    const queued = () => redis.zcard('longshore:default.contract-source:prioritized');
    while ((await queued()) < WINDOW) await sleep(50);
    const startedAtMs = performance.now();
    await redis.flushall();
    while ((await queued()) < WINDOW) await sleep(10);
    const elapsedMs = performance.now() - startedAtMs;
    redis.disconnect();
    if (worker !== undefined) process.kill(worker.pid, 'SIGCONT');
    return elapsedMs;
  });
}

/** From SIGKILL until each job of the dead worker has been started by the other, at moments spread over a renewal. */
async function kill(): Promise<number[]> {
  const provider = await startFakeEtherscan({});
  const waits: number[] = [];
  try {
    for (let round = 0; round < KILLS; round += 1) waits.push(...(await killOnce(provider, round)));
  } finally {
    await provider.close();
  }
  return waits;
}

async function killOnce(
  provider: Awaited<ReturnType<typeof startFakeEtherscan>>,
  round: number,
): Promise<number[]> {
  const env = { LONGSHORE_ETHERSCAN_URL: provider.url, LONGSHORE_WORKER_CONCURRENCY: String(JOBS_A_KILL) };
  return withStack({ replicas: { worker: 0 }, env }, async (stack) => {
    const doomed = await stack.startWorker();
    const jobs = Array.from({ length: JOBS_A_KILL }, (_, n) => {
      const address = `0x${(round * 1_000 + n).toString(16).padStart(40, 'f')}`;
      provider.fail(address, { failure: { kind: 'hang' } });
      return { type: 'contract-source', input: { address } };
    });
    await call(stack, '/v1/jobs:batch', { method: 'POST', body: JSON.stringify({ jobs }) });
    const client = new pg.Client({ connectionString: stack.postgresUrl });
    await client.connect();
    const running = async () =>
      (await client.query('select id from longshore.jobs where lease_until is not null')).rows;
    while ((await running()).length < jobs.length) await sleep(50);
    await stack.startWorker();
    // Somewhere within a renewal, which comes every 10 s.
    await sleep((round * 10_000) / KILLS);
    // On a slow machine the provider's silence may have ended an attempt by now: that one is not the kill's.
    const killed = (await running()).map(({ id }) => id);
    const killedAtMs = Date.now();
    await stack.processes.get(doomed)?.child.kill();
    const startedAgain = `select attempt_started_at as at from longshore.jobs
      where id = any ($1) and attempt_started_at > to_timestamp($2 / 1000.0)`;
    let again: { at: Date }[] = [];
    while (again.length < killed.length) {
      await sleep(100);
      again = (await client.query(startedAgain, [killed, killedAtMs])).rows;
    }
    await client.end();
    return again.map(({ at }) => at.getTime() - killedAtMs);
  });
}

const flushMs = await flush();
const waits = await kill();
report('recovery', {
  'Redis flushed → 1,000 jobs queued again': ms(flushMs),
  'jobs of killed workers': waits.length,
  'SIGKILL → started again, p50': ms(quantile(waits, 0.5)),
  'SIGKILL → started again, p99': ms(quantile(waits, 0.99)),
});
