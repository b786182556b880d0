/** `image-convert` of the example photographs → webp 1200 px against a bare sharp loop; both `sharp.concurrency(1)`, two at once. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import sharp from 'sharp';
import { call, ROOT, report, withStack } from './support.ts';

const ROUNDS = Number(process.env.ROUNDS ?? 20);
const IMAGES = join(ROOT, 'examples/images');
const files = readdirSync(IMAGES)
  .filter((name) => /\.(png|jpg)$/.test(name))
  .map((name) => ({ name, bytes: readFileSync(join(IMAGES, name)) }));
const work = Array.from({ length: ROUNDS }, () => files).flat();

async function bare(): Promise<number> {
  sharp.concurrency(1);
  sharp.cache(false);
  const todo = [...work];
  const startedAtMs = performance.now();
  const lane = async () => {
    for (let file = todo.pop(); file !== undefined; file = todo.pop()) {
      await sharp(file.bytes).autoOrient().resize({ width: 1_200, fit: 'inside' }).webp().toBuffer();
    }
  };
  await Promise.all([lane(), lane()]);
  return work.length / ((performance.now() - startedAtMs) / 1_000);
}

/** Images a second from the first start to the last end, by the ledger. */
async function longshore(): Promise<number> {
  // Two threads compute, as in the bare loop; a third job is fetched or stored meanwhile.
  const env = { LONGSHORE_WORKER_CONCURRENCY: '3', UV_THREADPOOL_SIZE: '2' };
  return withStack({ replicas: { worker: 0 }, env }, async (stack) => {
    for (const { name, bytes } of work) {
      const form = new FormData();
      form.set('file', new Blob([bytes]), name);
      for (const [field, value] of Object.entries({ format: 'webp', width: '1200', enlarge: 'true' }))
        form.set(field, value);
      await call(stack, '/v1/images', { method: 'POST', body: form });
    }
    await stack.startWorker();
    const client = new pg.Client({ connectionString: stack.postgresUrl });
    await client.connect();
    const sql = `select count(*) filter (where status = 'SUCCESS')::integer as done,
      extract(epoch from max(finished_at) - min(started_at))::double precision as seconds from longshore.jobs`;
    let row = { done: 0, seconds: 0 };
    while (row.done < work.length) {
      await sleep(200);
      row = (await client.query(sql)).rows[0];
    }
    await client.end();
    return work.length / row.seconds;
  });
}

const before = await bare();
const ours = await longshore();
const after = await bare();
const limit = (before + after) / 2;
report('images', {
  images: work.length,
  'bare sharp': `${limit.toFixed(1)}/s (before ${before.toFixed(1)}, after ${after.toFixed(1)})`,
  Longshore: `${ours.toFixed(1)}/s`,
  ratio: (ours / limit).toFixed(2),
});
