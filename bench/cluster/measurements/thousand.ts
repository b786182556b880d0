import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../../test/support/wait-for.ts';
import { type Bench, fixed, type Measurement, type Row, requireSuccess, seconds, setting } from '../bench.ts';
import { type BatchJob, JOB } from '../objects.ts';
import { withRivals } from '../rivals.ts';

const JOBS = setting('THOUSAND_JOBS', 1_000);
const REPLICAS = 10;
const WANTED_MS = 17_000;
const READY_MS = 35_000;
/** Of the rivals, which take their time for as many. */
const RIVAL_JOBS = setting('RIVAL_JOBS', 100);
const TARGET_FACTOR = 40;
/** Jobs of a pod at once that its waiting jobs do not mind; the other figure is for pods that run ten. */
const WIDE_CONCURRENCY = setting('WIDE_CONCURRENCY', 250);

interface FromZero {
  /** Null when it never came to that. */
  wantedMs: number | null;
  readyMs: number | null;
  doneMs: number;
}

async function runFromZero(bench: Bench, concurrency: number): Promise<FromZero> {
  await bench.usePool({ maxReplicas: REPLICAS, concurrency });
  await bench.podsReady(0);
  const startedAtMs = Date.now();
  const seen: FromZero = { wantedMs: null, readyMs: null, doneMs: 0 };
  const watching = new AbortController();
  const watched = (async () => {
    while (!watching.signal.aborted) {
      const { wanted, ready } = await bench.scale();
      const elapsedMs = Date.now() - startedAtMs;
      if (wanted >= REPLICAS) seen.wantedMs ??= elapsedMs;
      if (ready >= REPLICAS) seen.readyMs ??= elapsedMs;
      await sleep(100, undefined, { signal: watching.signal }).catch(() => {});
    }
  })();
  try {
    await bench.postMany(JOBS, { seconds: 1 });
    const jobs = await bench.drained(startedAtMs, 300_000);
    requireSuccess(jobs, JOBS);
    seen.doneMs =
      jobs.reduce((last, { finishedAt }) => Math.max(last, Date.parse(finishedAt ?? '')), 0) - startedAtMs;
  } finally {
    watching.abort();
    await watched;
  }
  return seen;
}

export const thousand: Measurement = {
  name: 'thousand',
  about: '1,000 jobs of a second each, from zero to ten pods',
  async run(bench): Promise<Row[]> {
    const { wantedMs, readyMs, doneMs } = await runFromZero(bench, 10);
    const shown = (ms: number | null) => (ms === null ? 'never' : seconds(ms));
    return [
      {
        what: `${fixed(JOBS)} one-second jobs from zero, maxReplicas ${REPLICAS}, 10 at once a pod: ten wanted · ten ready`,
        target: '≤ 17 s · ≤ 35 s',
        measured: `${shown(wantedMs)} · ${shown(readyMs)}; all done after ${seconds(doneMs)}, ${fixed(JOBS / (doneMs / 1_000), 1)} jobs/s`,
        met: (wantedMs ?? Infinity) <= WANTED_MS && (readyMs ?? Infinity) <= READY_MS,
        values: { wantedMs, readyMs, doneMs, jobs: JOBS },
      },
    ];
  },
};

export const rivals: Measurement = {
  name: 'rivals',
  about: 'the same work as batch/v1 Jobs and as a KEDA ScaledJob',
  async run(bench): Promise<Row[]> {
    const { doneMs } = await runFromZero(bench, WIDE_CONCURRENCY);
    const ours = JOBS / (doneMs / 1_000);
    bench.note(`Longshore did ${fixed(ours, 1)} jobs/s`);
    await bench.podsReady(0);
    const batch = await runBatchJobs(bench);
    bench.note(`batch/v1 Jobs did ${fixed(batch, 2)} jobs/s`);
    const scaledJob = await withRivals(bench, async (others) => {
      await others.addScaledJob('scaled-job', RIVAL_JOBS);
      return RIVAL_JOBS / ((await others.doAll('scaled-job', RIVAL_JOBS, 400_000)) / 1_000);
    });
    const row = (what: string, rate: number): Row => ({
      what: `one-second jobs from zero: Longshore (${WIDE_CONCURRENCY} at once a pod) against ${what}`,
      target: `≥ ${TARGET_FACTOR} ×`,
      measured: `${fixed(ours / rate, 1)} × (${fixed(ours, 1)}/s, ${fixed(rate, 2)}/s)`,
      met: ours / rate >= TARGET_FACTOR,
      values: { ours, rival: rate, factor: ours / rate, jobs: JOBS, rivalJobs: RIVAL_JOBS },
    });
    return [
      row(`${RIVAL_JOBS} batch/v1 Jobs`, batch),
      row(`a KEDA ScaledJob with ${RIVAL_JOBS} items`, scaledJob),
    ];
  },
};

/** Jobs a second, all made at once, from the first to the completion of the last. */
async function runBatchJobs(bench: Bench): Promise<number> {
  const { namespace, customImage } = bench.installed;
  const labels = { bench: 'batch' };
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: RIVAL_JOBS }, (_, n) =>
      bench.kube.create<BatchJob>(
        JOB,
        {
          metadata: { namespace, name: `batch-${n}`, labels },
          spec: {
            backoffLimit: 0,
            template: { metadata: { labels }, spec: podOfOneSecond(customImage) },
          },
        },
        { timeoutMs: 60_000 },
      ),
    ),
  );
  await waitFor(
    async () => {
      await sleep(500);
      const { items } = await bench.kube.list<BatchJob>(JOB, { namespace, labelSelector: 'bench=batch' });
      return items.filter(({ status }) => status?.succeeded === 1).length;
    },
    (done) => done === RIVAL_JOBS,
    { timeoutMs: 400_000, describe: 'the end of all batch/v1 Jobs' },
  );
  const rate = RIVAL_JOBS / ((performance.now() - startedAt) / 1_000);
  await bench.kube.deleteCollection(JOB, { namespace, labelSelector: 'bench=batch', timeoutMs: 60_000 });
  await bench.installed.kubectl.run(['delete', 'pods', '--selector', 'bench=batch', '--wait=false']);
  return rate;
}

/** Not even Node.js: the least that a pod can be. */
function podOfOneSecond(image: string): object {
  return {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    securityContext: { runAsNonRoot: true, runAsUser: 1_000, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'job',
        image,
        command: ['sleep', '1'],
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
  };
}
