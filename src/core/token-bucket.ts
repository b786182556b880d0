import type { Clock } from './clock.ts';

export interface RateLimit {
  perSecond: number;
  /** The most requests that may come at once. */
  burst: number;
}

/** Lets `perSecond` requests through on average, `burst` at once. One for each key in each process. */
export class TokenBucket {
  readonly #limit: RateLimit;
  readonly #clock: Clock;
  #tokens: number;
  #atMs: number;

  constructor(limit: RateLimit, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
    this.#tokens = limit.burst;
    this.#atMs = clock.now();
  }

  /** Milliseconds until a request may come; 0 took a token. */
  take(): number {
    const now = this.#clock.now();
    const { perSecond, burst } = this.#limit;
    this.#tokens = Math.min(burst, this.#tokens + (Math.max(0, now - this.#atMs) / 1_000) * perSecond);
    this.#atMs = now;
    if (this.#tokens >= 1) {
      this.#tokens -= 1;
      return 0;
    }
    return Math.ceil(((1 - this.#tokens) / perSecond) * 1_000);
  }
}
