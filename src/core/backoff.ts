import type { Backoff } from './job.ts';

/**
 * The wait before the next attempt: exponential in the failures so far, half of it random so that jobs which failed
 * together do not come back together.
 *
 * @param failures - Failed attempts so far, from 1.
 * @param random - In [0, 1).
 */
export function backoffMs(backoff: Backoff, failures: number, random: number): number {
  const exponent = Math.min(30, Math.max(0, failures - 1));
  const ceiling = Math.min(backoff.maxMs, backoff.baseMs * 2 ** exponent);
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}
