export interface RateLimiterOptions {
  /** First wait of an item. Defaults to 5. */
  baseMs?: number | undefined;
  /** Longest wait of an item by its own failures. Defaults to 300,000. */
  maxMs?: number | undefined;
  /** Retries a second, over all items. Defaults to 10. */
  perSecond?: number | undefined;
  /** Retries that may come at once. Defaults to 100. */
  burst?: number | undefined;
  /** Milliseconds of a clock that never steps back. */
  now?: (() => number) | undefined;
}

/** How long a failed item waits: the longer of its own exponential back-off and its place in a bucket for all. */
export class RateLimiter {
  readonly #options: { baseMs: number; maxMs: number; perSecond: number; burst: number };
  readonly #now: () => number;
  readonly #failures = new Map<string, number>();
  #tokens: number;
  #refilledAt: number;

  constructor(options: RateLimiterOptions = {}) {
    const {
      baseMs = 5,
      maxMs = 300_000,
      perSecond = 10,
      burst = 100,
      now = () => performance.now(),
    } = options;
    this.#options = { baseMs, maxMs, perSecond, burst };
    this.#now = now;
    this.#tokens = burst;
    this.#refilledAt = now();
  }

  /** Counts a failure of `key` and answers the milliseconds until it may run again. */
  next(key: string): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const own = Math.min(this.#options.maxMs, this.#options.baseMs * 2 ** Math.min(failures, 40));
    return Math.max(own, this.#takeToken());
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The bucket may go below zero: each token owed is a wait that somebody was told already. */
  #takeToken(): number {
    const now = this.#now();
    const { perSecond, burst } = this.#options;
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#refilledAt) / 1_000) * perSecond);
    this.#refilledAt = now;
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / perSecond) * 1_000;
  }
}
