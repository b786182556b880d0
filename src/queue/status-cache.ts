import type { VersionedCache } from './versioned-cache.ts';

/** An unfinished job's view is believed this long without a word of a change. */
const UNFINISHED_SECONDS = 5;
const FINISHED_SECONDS = 24 * 3_600;

/** Views of jobs in Redis. */
export class StatusCache {
  readonly #cache: VersionedCache;
  readonly #prefix: string;

  /** @param prefix - What every key starts with. */
  constructor(cache: VersionedCache, prefix: string) {
    this.#cache = cache;
    this.#prefix = prefix;
  }

  /** The view as JSON text, or null when there is none or Redis does not answer in time. */
  async get(namespace: string, id: string): Promise<string | null> {
    return (await this.#cache.get(this.#key(namespace, id)))?.text ?? null;
  }

  /** Keeps a view, unless a higher version is there. Nothing waits for it. */
  put(namespace: string, id: string, view: { version: number; final: boolean; json: string }): void {
    const seconds = view.final ? FINISHED_SECONDS : UNFINISHED_SECONDS;
    this.#cache.put(this.#key(namespace, id), view.version, view.json, seconds);
  }

  #key(namespace: string, id: string): string {
    return `${this.#prefix}:status:${namespace}:${id}`;
  }
}
