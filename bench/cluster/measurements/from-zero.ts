import { setTimeout as sleep } from 'node:timers/promises';
import { DEPLOYMENT } from '../../../src/core/pool-manifests/resources.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { quantile } from '../../support.ts';
import { type Bench, fixed, type Measurement, POOL, type Row, seconds, setting } from '../bench.ts';
import type { Workload } from '../objects.ts';
import { type Rivals, withRivals } from '../rivals.ts';

const TRIES = setting('TRIES', 20);
/** Each takes up to 30 s, so several lists wait for their turn to go back to zero. */
const DEFAULT_TRIES = setting('DEFAULT_TRIES', TRIES);
const DEFAULT_LISTS = 4;
const WAKE_MEDIAN_MS = 60;
const WAKE_WORST_MS = 250;
const START_MEDIAN_MS = 2_200;

interface Tries {
  /** From the job's id, which is made before the commit, to the Deployment's change as a watch tells it. */
  wakeMs: number[];
  startMs: number[];
  rivalMs: { everySecond: number[]; byDefault: number[] };
}

/** One after another, so that no two pods start at once: the machine is the same for all. */
function measureTries(bench: Bench): Promise<Tries> {
  return bench.once('tries', async () => {
    await bench.usePool({ maxReplicas: 1, concurrency: 10, cooldownSeconds: 1 });
    return withRivals(bench, async (rivals) => {
      await rivals.addWorkers('every-second', 1);
      const lists = Array.from({ length: DEFAULT_LISTS }, (_, n) => `by-default-${n}`);
      for (const list of lists) await rivals.addWorkers(list);
      const tries: Tries = { wakeMs: [], startMs: [], rivalMs: { everySecond: [], byDefault: [] } };
      for (let n = 0; n < TRIES; n += 1) {
        bench.signal.throwIfAborted();
        const { wakeMs, startMs } = await wakeOurs(bench);
        tries.wakeMs.push(wakeMs);
        tries.startMs.push(startMs);
        tries.rivalMs.everySecond.push(await wakeRival(rivals, 'every-second'));
        const list = lists[n % lists.length];
        if (n < DEFAULT_TRIES && list !== undefined)
          tries.rivalMs.byDefault.push(await wakeRival(rivals, list));
        bench.note(
          `try ${n + 1}: replicas after ${wakeMs} ms, job after ${startMs} ms; list trigger ${tries.rivalMs.everySecond.at(-1)} ms every second, ${tries.rivalMs.byDefault.at(-1)} ms by default`,
        );
      }
      return tries;
    });
  });
}

async function wakeOurs(bench: Bench): Promise<{ wakeMs: number; startMs: number }> {
  await bench.podsReady(0);
  // KEDA's own loop has seen the zero by then.
  await sleep(2_000 + Math.random() * 3_000, undefined, { signal: bench.signal });
  const { changed } = await watchForReplicas(bench);
  const { id } = await bench.post({});
  // What the id says is before the commit, so both are rather too long than too short.
  const createdAtMs = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  const replicasAtMs = await changed;
  const job = await waitFor(
    () => bench.api.call<{ startedAt: string | null; status: string }>('GET', `/v1/jobs/${id}`),
    ({ status }) => status === 'SUCCESS',
    { timeoutMs: 60_000, describe: `job ${id}` },
  );
  return { wakeMs: replicasAtMs - createdAtMs, startMs: Date.parse(job.startedAt ?? '') - createdAtMs };
}

/** Resolves once it is known from where to watch; `changed` does with when the Deployment first wants a pod. */
async function watchForReplicas(bench: Bench): Promise<{ changed: Promise<number> }> {
  const { namespace } = bench.installed;
  const { resourceVersion } = await bench.kube.list(DEPLOYMENT, { namespace });
  const stop = AbortSignal.any([bench.signal, AbortSignal.timeout(60_000)]);
  const events = bench.kube.watch<Workload>(DEPLOYMENT, {
    namespace,
    fieldSelector: `metadata.name=${POOL}-worker`,
    resourceVersion,
    signal: stop,
  });
  const first = async () => {
    for await (const event of events) {
      if (event.type === 'MODIFIED' && (event.object.spec.replicas ?? 0) > 0) return Date.now();
    }
    throw new Error('The watch of the Deployment ended');
  };
  return { changed: first() };
}

async function wakeRival(rivals: Rivals, list: string): Promise<number> {
  await rivals.waitForZero(list);
  // So that the push is at no fixed moment of KEDA's rounds.
  await sleep(Math.random() * 1_000);
  return rivals.wakeUp(list, 90_000);
}

export const wake: Measurement = {
  name: 'wake',
  about: 'from zero: from the commit of a job until KEDA has set replicas',
  async run(bench): Promise<Row[]> {
    const { wakeMs } = await measureTries(bench);
    const [median, worst] = [quantile(wakeMs, 0.5), Math.max(...wakeMs)];
    return [
      {
        what: `commit → KEDA has set replicas, from 0, ${wakeMs.length} tries: median · worst`,
        target: `≤ ${WAKE_MEDIAN_MS} ms · ≤ ${WAKE_WORST_MS} ms`,
        measured: `${fixed(median)} ms · ${fixed(worst)} ms`,
        met: median <= WAKE_MEDIAN_MS && worst <= WAKE_WORST_MS,
        values: { wakeMs, median, worst },
      },
    ];
  },
};

export const firstJob: Measurement = {
  name: 'first-job',
  about: 'from zero: from the commit of a job until its handler starts, against KEDA’s redis list trigger',
  async run(bench): Promise<Row[]> {
    const { startMs, rivalMs } = await measureTries(bench);
    const median = quantile(startMs, 0.5);
    const row = (what: string, values: number[]): Row => ({
      what,
      target: '(for comparison)',
      measured: `median ${seconds(quantile(values, 0.5))}, worst ${seconds(Math.max(...values))}, ${values.length} tries`,
      met: null,
      values: { ms: values, median: quantile(values, 0.5) },
    });
    return [
      {
        ...row(`commit → first job started, from 0, image present`, startMs),
        target: `median ≤ ${fixed(START_MEDIAN_MS / 1_000, 1)} s`,
        met: median <= START_MEDIAN_MS,
      },
      row('… KEDA’s redis list trigger polling every second, a bare Node.js pod', rivalMs.everySecond),
      row('… KEDA’s redis list trigger as it is by default (30 s)', rivalMs.byDefault),
    ];
  },
};
