import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from '../../support.ts';
import { fixed, type Measurement, type Row, requireSuccess, setting } from '../bench.ts';

const JOBS = setting('WARM_JOBS', 300);
const SPACING_MS = 100;
const TARGET_P50_MS = 100;
const TARGET_P99_MS = 300;

export const warmLatency: Measurement = {
  name: 'warm-latency',
  about: 'with a pod that waits: from the answer of POST to the start of the handler',
  async run(bench): Promise<Row[]> {
    await bench.usePool({ minReplicas: 1, maxReplicas: 1, concurrency: 10 });
    await bench.postMany(50, {});
    await bench.drained(Date.now(), 60_000);
    const sinceMs = Date.now();
    const posts: Promise<{ id: string; answeredAtMs: number }>[] = [];
    for (let n = 0; n < JOBS; n += 1) {
      posts.push(bench.post({}));
      await sleep(SPACING_MS, undefined, { signal: bench.signal });
    }
    const answers = new Map((await Promise.all(posts)).map(({ id, answeredAtMs }) => [id, answeredAtMs]));
    const jobs = await bench.drained(sinceMs, 60_000);
    requireSuccess(jobs, JOBS);
    // One clock for both. A handler that starts before the answer has arrived waited for nothing.
    const waits = jobs.map(({ id, startedAt }) =>
      Math.max(0, Date.parse(startedAt ?? '') - (answers.get(id) ?? 0)),
    );
    const [p50, p99, most] = [quantile(waits, 0.5), quantile(waits, 0.99), Math.max(...waits)];
    return [
      {
        what: 'warm pool: POST’s answer → handler started, p50 · p99',
        target: `≤ ${TARGET_P50_MS} ms · ≤ ${TARGET_P99_MS} ms`,
        measured: `${fixed(p50)} ms · ${fixed(p99)} ms (at most ${fixed(most)} ms, ${JOBS} jobs)`,
        met: p50 <= TARGET_P50_MS && p99 <= TARGET_P99_MS,
        values: { p50, p99, most, jobs: JOBS },
      },
    ];
  },
};
