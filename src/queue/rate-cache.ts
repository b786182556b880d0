import type { RateSnapshot, TrackedRate } from '../core/rates/rate.ts';
import type { RateCopies } from '../core/rates/rate-reader.ts';
import type { VersionedCache } from './versioned-cache.ts';

/** A copy that is older would be stale throughout. */
const SECONDS = 3_600;

/** The current rates of namespaces in Redis, one entry each, so that all processes read them once between them. */
export class RateCache implements RateCopies {
  readonly #cache: VersionedCache;
  readonly #prefix: string;

  /** @param prefix - What every key starts with. */
  constructor(cache: VersionedCache, prefix: string) {
    this.#cache = cache;
    this.#prefix = prefix;
  }

  async get(namespace: string): Promise<RateSnapshot | null> {
    const held = await this.#cache.get(this.#key(namespace));
    if (held === null) return null;
    try {
      return { version: held.version, rates: JSON.parse(held.text) as TrackedRate[] };
    } catch {
      return null;
    }
  }

  put(namespace: string, { version, rates }: RateSnapshot): void {
    this.#cache.put(this.#key(namespace), version, JSON.stringify(rates), SECONDS);
  }

  #key(namespace: string): string {
    return `${this.#prefix}:rates:${namespace}`;
  }
}
