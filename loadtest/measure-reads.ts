import { call, ms, quantile } from '../bench/support.ts';
import type { Stack } from '../hack/stack/stack.ts';

const READS = 500;

/** What a person waits for who looks at a meter, one request after the other, each of another meter. */
export async function measureReads(
  stack: Stack,
  { meters, month }: { meters: number; month: string },
): Promise<Record<string, string>> {
  const paths = { 'readings of a meter': 'readings', "a month's bill": `bill?month=${month}` };
  const figures: Record<string, string> = {};
  for (const [what, path] of Object.entries(paths)) {
    const times: number[] = [];
    for (let n = 0; n < READS; n += 1) {
      // Every fourth meter has two zones, and no rows; in strides, so that none is near the one before.
      const meter = ((n * 7_919) % (meters / 4)) * 4 + 1;
      const startedAtMs = performance.now();
      await call(stack, `/v1/meters/METER-${meter}/${path}`);
      times.push(performance.now() - startedAtMs);
    }
    figures[`GET ${what}`] = `p50 ${ms(quantile(times, 0.5))}, p99 ${ms(quantile(times, 0.99))}`;
  }
  return figures;
}
