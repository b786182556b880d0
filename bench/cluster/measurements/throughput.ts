import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type K6Summary, runK6 } from '../../../hack/k6-run.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import {
  bareLives,
  countQueueJobs,
  differences,
  readWrites,
  removeTwin,
  total,
  type Writes,
} from '../api-server.ts';
import { type Bench, fixed, type Measurement, type Row, requireSuccess, setting } from '../bench.ts';

/** More than it can do, so that what it does is its limit; the rest waits in the ledger. */
const RATE = setting('BENCH_RATE', 120);
const SECONDS = setting('BENCH_SECONDS', 60);
const LIVES = setting('BENCH_LIVES', 1_500);
/** Until queue, caches and compilers are warm. */
const WARM_SECONDS = 10;
const TARGET_PER_SECOND = 100;
const TARGET_WRITES = 3;

interface Throughput {
  jobs: number;
  perSecond: number;
  bare: number[];
  k6: K6Summary;
  /** While the jobs went through and their QueueJobs went. */
  writes: Writes;
}

/** Jobs that k6 posts at more than the system's rate, until the last of their QueueJobs is gone. */
export function measureThroughput(bench: Bench): Promise<Throughput> {
  return bench.once('throughput', async () => {
    await bench.usePool({
      minReplicas: 2,
      maxReplicas: 2,
      concurrency: 50,
      cooldownSeconds: 60,
    });
    // Those of other measurements stay for an hour after their end.
    await bench.installed.kubectl.run(['delete', 'queuejobs', '--all', '--timeout=110s'], {
      timeoutMs: 120_000,
    });
    const bareBefore = await bareLives(bench, LIVES);
    bench.note(`the bare API server did ${fixed(bareBefore)} lives/s`);
    await bench.postMany(500, {}, { ttlSecondsAfterFinished: 1 });
    await bench.drained(Date.now(), 120_000);
    await waitUntilGone(bench);
    const before = await readWrites(bench);
    const startedAtMs = Date.now();
    const k6 = await submit(bench, RATE, SECONDS);
    const endedAtMs = Date.now();
    const jobs = await bench.drained(startedAtMs, 600_000);
    requireSuccess(jobs, k6.accepted);
    if (jobs.some(({ admittedAt }) => admittedAt === null)) throw new Error('A job never was a QueueJob');
    await waitUntilGone(bench);
    const after = await readWrites(bench);
    const bareAfter = await bareLives(bench, LIVES);
    await removeTwin(bench);
    const fromMs = startedAtMs + WARM_SECONDS * 1_000;
    const finished = jobs.map(({ finishedAt }) => Date.parse(finishedAt ?? ''));
    const steady = finished.filter((atMs) => atMs >= fromMs && atMs < endedAtMs).length;
    return {
      jobs: jobs.length,
      perSecond: steady / ((endedAtMs - fromMs) / 1_000),
      bare: [bareBefore, bareAfter],
      k6,
      writes: {
        queueJobs: differences(before.queueJobs, after.queueJobs),
        others: differences(before.others, after.others),
      },
    };
  });
}

/** By k6, over the NodePort. QueueJobs that have ended go at once, so that their deletes are counted too. */
export function submit(
  bench: Bench,
  rate: number,
  forSeconds: number,
  options: object = { ttlSecondsAfterFinished: 1 },
): Promise<K6Summary> {
  const { url, token } = bench.installed;
  const body = JSON.stringify({ type: 'greet', input: { name: 'Ada' }, ...options });
  const env = {
    API_URL: url,
    API_KEY: token,
    RATE: String(rate),
    SECONDS: String(forSeconds),
    BODY: body,
  };
  return runK6(join(import.meta.dirname, '../submit.js'), env, bench.signal);
}

async function waitUntilGone(bench: Bench): Promise<void> {
  await waitFor(
    () => sleep(500).then(() => countQueueJobs(bench)),
    ({ count }) => count === 0,
    { timeoutMs: 300_000, describe: 'the last QueueJob to go' },
  );
}

export const throughput: Measurement = {
  name: 'throughput',
  about: 'jobs a second from POST to SUCCESS, against what the bare API server does',
  async run(bench): Promise<Row[]> {
    const { perSecond, bare, jobs, k6 } = await measureThroughput(bench);
    const lives = (bare.reduce((sum, value) => sum + value, 0) / bare.length) as number;
    const share = perSecond / lives;
    return [
      {
        what: 'jobs, each one a QueueJob, from POST to SUCCESS, while they are posted',
        target: `≥ ${TARGET_PER_SECOND}/s`,
        measured: `${fixed(perSecond, 1)}/s, ${fixed(share * 100)} % of the bare API server’s ${fixed(lives)} lives/s`,
        met: perSecond >= TARGET_PER_SECOND,
        values: { perSecond, share, bareLivesPerSecond: bare, jobs, offeredPerSecond: RATE, k6 },
      },
    ];
  },
};

export const writes: Measurement = {
  name: 'writes',
  about: 'writes to the API server for each job, by its own count',
  async run(bench): Promise<Row[]> {
    const { jobs, writes: seen } = await measureThroughput(bench);
    const perJob = total(seen.queueJobs) / jobs;
    const others = Object.entries(seen.others).slice(0, 8);
    return [
      {
        what: 'writes of queuejobs and their status for each job (apiserver_request_total)',
        target: `≤ ${fixed(TARGET_WRITES, 1)}`,
        measured: `${fixed(perJob, 3)} (${Object.entries(seen.queueJobs)
          .map(([verb, count]) => `${verb} ${count}`)
          .join(', ')}); all other writes ${total(seen.others)}`,
        met: perJob <= TARGET_WRITES + 1e-9,
        values: { perJob, jobs, queueJobs: seen.queueJobs, others: Object.fromEntries(others) },
      },
    ];
  },
};
