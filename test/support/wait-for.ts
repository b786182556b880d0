import { setTimeout as delay } from 'node:timers/promises';

export interface WaitForOptions {
  /** Defaults to 10,000. */
  timeoutMs?: number;
  /** What is waited for, in words. */
  describe: string;
  /** Pause between two looks. Defaults to 20. */
  everyMs?: number;
}

/**
 * Looks until the condition answers something truthy, and resolves with that. An error of the condition counts as not
 * yet. Rejects at the deadline with what was seen last.
 */
export async function waitFor<Seen>(
  condition: () => Promise<Seen> | Seen,
  options: WaitForOptions,
): Promise<Exclude<Seen, false | null | undefined | 0 | ''>> {
  const { timeoutMs = 10_000, everyMs = 20 } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let last: unknown;
    try {
      const seen = await condition();
      if (seen) return seen as Exclude<Seen, false | null | undefined | 0 | ''>;
      last = seen;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline) {
      const shown = last instanceof Error ? `${last.name}: ${last.message}` : JSON.stringify(last);
      throw new Error(`Waited ${timeoutMs} ms for ${options.describe}; last seen: ${shown}`, { cause: last });
    }
    await delay(everyMs);
  }
}
