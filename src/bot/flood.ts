import type { Clock } from '../core/clock.ts';
import { setBounded } from '../core/set-bounded.ts';
import { TokenBucket } from '../core/token-bucket.ts';

/** People whose buckets are held; whoever was away longest is forgotten, which only makes their bucket full. */
const MAX_PEOPLE = 10_000;

/** Keeps a person from flooding the bot: `perMinute` commands on average, a third of it at once. */
export class FloodLimit {
  readonly #limit: { perSecond: number; burst: number };
  readonly #clock: Clock;
  readonly #people = new Map<number, { bucket: TokenBucket; told: boolean }>();

  constructor(perMinute: number, clock: Clock) {
    this.#limit = { perSecond: perMinute / 60, burst: Math.max(1, Math.ceil(perMinute / 3)) };
    this.#clock = clock;
  }

  /** `tell`: too much, for the first time in a row; with the seconds until the next is taken. */
  take(person: number): 'pass' | 'ignore' | { tell: number } {
    const known = this.#people.get(person) ?? {
      bucket: new TokenBucket(this.#limit, this.#clock),
      told: false,
    };
    this.#people.delete(person);
    setBounded(this.#people, person, known, MAX_PEOPLE);
    const waitMs = known.bucket.take();
    const told = known.told;
    known.told = waitMs > 0;
    if (waitMs === 0) return 'pass';
    return told ? 'ignore' : { tell: Math.ceil(waitMs / 1_000) };
  }
}
