import { setTimeout as delay } from 'node:timers/promises';

export interface WaitForOptions {
  /** Defaults to 10,000. */
  timeoutMs?: number;
  /** What is waited for, in words. Defaults to `the condition`. */
  describe?: string;
}

type Truthy<Seen> = Exclude<Seen, false | null | undefined | 0 | ''>;

/** Looks until `condition` answers something truthy, and resolves with it; an error of it counts as not yet. */
export async function waitFor<Seen>(
  condition: () => Promise<Seen> | Seen,
  options: WaitForOptions & { describe: string },
): Promise<Truthy<Seen>>;
/** Looks until `read` answers something that `isDone` takes, and resolves with it; rejects when `read` does. */
export async function waitFor<Seen>(
  read: () => Promise<Seen> | Seen,
  isDone: (value: Seen) => boolean,
  options?: WaitForOptions,
): Promise<Seen>;
/** Either way it rejects at the deadline with what was seen last. */
export async function waitFor<Seen>(
  read: () => Promise<Seen> | Seen,
  second: WaitForOptions | ((value: Seen) => boolean),
  third: WaitForOptions = {},
): Promise<Seen> {
  const isStrict = typeof second === 'function';
  const isDone = isStrict ? second : Boolean;
  const { timeoutMs = 10_000, describe = 'the condition' } = isStrict ? third : second;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let last: unknown;
    try {
      const seen = await read();
      if (isDone(seen)) return seen;
      last = seen;
    } catch (error) {
      if (isStrict) throw error;
      last = error;
    }
    if (performance.now() >= deadline) {
      const shown = last instanceof Error ? `${last.name}: ${last.message}` : JSON.stringify(last);
      throw new Error(`Waited ${timeoutMs} ms for ${describe}; last seen: ${shown}`, { cause: last });
    }
    await delay(20);
  }
}
