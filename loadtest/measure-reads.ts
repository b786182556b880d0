import { quantile } from '../bench/support.ts';
import type { Stack } from '../hack/stack/stack.ts';

const READS = 500;

/** What a person waits for who looks at a meter, one request after the other, each of another meter. */
export async function measureReads(
  { apiUrl, apiKey }: Stack,
  { meters, month }: { meters: number; month: string },
): Promise<Record<string, string>> {
  const headers = { authorization: `Bearer ${apiKey}` };
  const paths = { 'readings of a meter': 'readings', "a month's bill": `bill?month=${month}` };
  const figures: Record<string, string> = {};
  for (const [what, path] of Object.entries(paths)) {
    const times: number[] = [];
    for (let n = 0; n < READS; n += 1) {
      // Every fourth meter has two zones, and no rows; in strides, so that none is near the one before.
      const meter = ((n * 7_919) % (meters / 4)) * 4 + 1;
      const startedAtMs = performance.now();
      const answer = await fetch(`${apiUrl}/v1/meters/METER-${meter}/${path}`, { headers });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${text}`);
      times.push(performance.now() - startedAtMs);
    }
    figures[`GET ${what}`] =
      `p50 ${quantile(times, 0.5).toFixed(1)} ms, p99 ${quantile(times, 0.99).toFixed(1)} ms`;
  }
  return figures;
}
