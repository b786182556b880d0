import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../../test/support/wait-for.ts';
import { type Bench, fixed, type Measurement, POOL, type Row, requireSuccess, setting } from '../bench.ts';

const SCALE_INS = setting('SCALE_INS', 50);
const [MANY, FEW] = [8, 2];
const CONCURRENCY = 5;
/** Longer than the pods' grace period is not needed: they end, or are handed back. */
const JOB_SECONDS = 3;

/**
 * Jobs that never end to come, and a pool that is told again and again to be smaller and larger: each pod that goes has
 * running jobs.
 */
async function runScaleIns(
  bench: Bench,
): Promise<{ pods: number; busy: number; sinceMs: number; jobs: number }> {
  const scale = { concurrency: CONCURRENCY, minReplicas: FEW, terminationGracePeriodSeconds: 10 };
  await bench.usePool({ ...scale, maxReplicas: MANY, cooldownSeconds: 60 });
  const sinceMs = Date.now();
  const stop = new AbortController();
  let jobs = 0;
  const feeding = (async () => {
    while (!stop.signal.aborted) {
      const wanted = MANY * CONCURRENCY * 3 - (await waiting(bench));
      if (wanted > 0) {
        await bench.postMany(wanted, { seconds: JOB_SECONDS });
        jobs += wanted;
      }
      await sleep(500, undefined, { signal: stop.signal }).catch(() => {});
    }
  })();
  let [pods, busy] = [0, 0];
  try {
    while (pods < SCALE_INS) {
      bench.signal.throwIfAborted();
      await grow(bench);
      busy += Math.max(0, (await running(bench)) - FEW * CONCURRENCY);
      await limit(bench, FEW);
      await waitFor(
        () => sleep(200).then(() => bench.pods()),
        (left) => left.length <= FEW,
        { timeoutMs: 120_000, describe: `no more than ${FEW} pods` },
      );
      pods += MANY - FEW;
      bench.note(`${pods} pods have gone`);
    }
  } finally {
    stop.abort();
    await feeding;
  }
  return { pods, busy, sinceMs, jobs };
}

async function grow(bench: Bench): Promise<void> {
  await limit(bench, MANY);
  await waitFor(
    () => sleep(200).then(() => bench.scale()),
    ({ ready }) => ready === MANY,
    { timeoutMs: 120_000, describe: `${MANY} ready pods` },
  );
  // Until each of them is at work.
  await waitFor(
    () => sleep(200).then(() => running(bench)),
    (count) => count > (MANY - 1) * CONCURRENCY,
    { timeoutMs: 60_000, describe: 'work for every pod' },
  );
}

async function limit(bench: Bench, maxReplicas: number): Promise<void> {
  const patch = JSON.stringify({ spec: { maxReplicas } });
  await bench.installed.kubectl.run(['patch', `workerpool/${POOL}`, '--type=merge', '--patch', patch]);
}

const count = async (bench: Bench, status: string) =>
  (await bench.api.call<{ jobs: object[] }>('GET', `/v1/jobs?status=${status}&limit=500`)).jobs.length;
const waiting = (bench: Bench) => count(bench, 'CREATED');
const running = (bench: Bench) => count(bench, 'PROCESS');

export const scaleIns: Measurement = {
  name: 'scale-ins',
  about: 'pods that are taken away under load: what it costs their jobs',
  async run(bench): Promise<Row[]> {
    const { pods, busy, sinceMs, jobs: posted } = await runScaleIns(bench);
    const jobs = await bench.drained(sinceMs, 300_000);
    requireSuccess(jobs, posted);
    const charged = jobs.filter(({ attempt, failures }) => attempt > 1 || failures > 0).length;
    const [interrupted] = await bench.sql(
      `select count(*) from longshore.jobs where interruptions > 0 and accepted_at >= to_timestamp(${sinceMs / 1_000})`,
    );
    const lost = Number(interrupted ?? Number.NaN);
    return [
      {
        what: `attempts lost or charged by ${pods} scale-ins under load`,
        target: '0',
        measured: `${lost} lost, ${charged} charged, of ${fixed(jobs.length)} jobs; ${fixed(busy)} ran in the pods that went`,
        met: lost === 0 && charged === 0,
        values: { pods, lost, charged, jobs: jobs.length, runningInPodsThatWent: busy },
      },
    ];
  },
};
