import { setTimeout as sleep } from 'node:timers/promises';
import type { K6Summary } from '../../../hack/k6-run.ts';
import { countQueueJobs, readStorage } from '../api-server.ts';
import { type Bench, fixed, type Measurement, type Row, requireSuccess, seconds, setting } from '../bench.ts';
import { submit } from './throughput.ts';

const RATE = setting('BURST_RATE', 1_000);
const SECONDS = setting('BURST_SECONDS', 60);
const WINDOW = 1_000;
const TARGET_DONE_MS = 12 * 60_000;
const TARGET_BYTES = 400e6;
const TARGET_OBJECT_BYTES = 2_500;
const TARGET_RETURN = 0.2;
/** Long enough for a compaction, which comes every 5 min and leaves the last 5 min. */
const SETTLE_SECONDS = setting('ETCD_SETTLE_SECONDS', 660);

interface Burst {
  k6: K6Summary;
  jobs: number;
  doneMs: number;
  mostQueueJobs: number;
  largestBytes: number;
  storage: { source: string; startBytes: number; mostBytes: number };
  endedAtMs: number;
}

/** Watches objects and etcd while the jobs go through, and somewhat longer. */
class Watch {
  mostQueueJobs = 0;
  largestBytes = 0;
  mostBytes = 0;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(bench: Bench) {
    this.#running = this.#run(bench);
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(bench: Bench): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // A look that fails under the load is left out; the next one comes in a second.
      const seen = await countQueueJobs(bench).catch(() => ({ count: 0, largestBytes: 0 }));
      const { bytes } = await readStorage(bench).catch(() => ({ bytes: 0 }));
      this.mostQueueJobs = Math.max(this.mostQueueJobs, seen.count);
      this.largestBytes = Math.max(this.largestBytes, seen.largestBytes);
      this.mostBytes = Math.max(this.mostBytes, bytes);
      await sleep(1_000, undefined, { signal }).catch(() => {});
    }
  }
}

function measureBurst(bench: Bench): Promise<Burst> {
  return bench.once('burst', async () => {
    await bench.usePool({ minReplicas: 2, maxReplicas: 2, concurrency: 50, cooldownSeconds: 60 });
    const { bytes: startBytes, source } = await readStorage(bench);
    const watch = new Watch(bench);
    try {
      const startedAtMs = Date.now();
      const k6 = await submit(bench, RATE, SECONDS, {});
      bench.note(`${k6.accepted} accepted, p99 ${fixed(k6.p99Ms)} ms, ${k6.failed} failed`);
      const jobs = await bench.drained(startedAtMs, TARGET_DONE_MS * 2);
      requireSuccess(jobs, k6.accepted);
      const lastMs = jobs.reduce((last, { finishedAt }) => Math.max(last, Date.parse(finishedAt ?? '')), 0);
      return {
        k6,
        jobs: jobs.length,
        doneMs: lastMs - startedAtMs,
        mostQueueJobs: watch.mostQueueJobs,
        largestBytes: watch.largestBytes,
        storage: { source, startBytes, mostBytes: watch.mostBytes },
        endedAtMs: Date.now(),
      };
    } finally {
      await watch.end();
    }
  });
}

export const burst: Measurement = {
  name: 'burst',
  about: 'jobs accepted faster than they can be done, and then done; QueueJobs in the window',
  async run(bench): Promise<Row[]> {
    const { k6, jobs, doneMs, mostQueueJobs } = await measureBurst(bench);
    const isClean = k6.failed === 0 && k6.dropped === 0 && jobs === k6.requests;
    return [
      {
        what: `${fixed(RATE * SECONDS)} jobs accepted at ${fixed(RATE)}/s for ${SECONDS} s`,
        target: 'no error',
        measured: `${fixed(jobs)} accepted, ${k6.failed} errors, ${k6.dropped} arrivals left out, p99 ${fixed(k6.p99Ms)} ms`,
        met: isClean,
        values: { k6 },
      },
      {
        what: '… from the first POST to the last SUCCESS',
        target: '≤ 12 min',
        measured: `${fixed(doneMs / 60_000, 1)} min, ${fixed(jobs / (doneMs / 1_000))} jobs/s`,
        met: doneMs <= TARGET_DONE_MS,
        values: { doneMs, jobs },
      },
      {
        what: '… live QueueJobs, at most',
        target: `≤ the window, ${fixed(WINDOW)}`,
        measured: fixed(mostQueueJobs),
        met: mostQueueJobs <= WINDOW,
        values: { mostQueueJobs },
      },
    ];
  },
};

export const etcd: Measurement = {
  name: 'etcd',
  about: 'what the burst costs etcd, and whether it is given back',
  async run(bench): Promise<Row[]> {
    const { storage, largestBytes, endedAtMs } = await measureBurst(bench);
    const waitMs = Math.max(0, endedAtMs + SETTLE_SECONDS * 1_000 - Date.now());
    bench.note(`waiting ${seconds(waitMs)} for etcd to be compacted`);
    await sleep(waitMs, undefined, { signal: bench.signal });
    const { bytes: endBytes } = await readStorage(bench);
    const { startBytes, mostBytes, source } = storage;
    const mb = (bytes: number) => `${fixed(bytes / 1e6)} MB`;
    const growth = endBytes / startBytes - 1;
    return [
      {
        what: `etcd in use while they go through (${source})`,
        target: '≤ 400 MB, objects ≤ 2.5 kB',
        measured: `${mb(mostBytes)}, from ${mb(startBytes)}; objects of ${fixed(largestBytes)} B`,
        met: mostBytes <= TARGET_BYTES && largestBytes <= TARGET_OBJECT_BYTES,
        values: { mostBytes, startBytes, largestBytes, source },
      },
      {
        what: `… ${fixed(SETTLE_SECONDS / 60)} min after the end`,
        target: 'within 20 % of the start',
        measured: `${mb(endBytes)}, ${fixed(growth * 100)} % more`,
        met: growth <= TARGET_RETURN,
        values: { endBytes, growth },
      },
    ];
  },
};
