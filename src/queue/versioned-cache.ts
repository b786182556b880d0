import { Redis } from 'ioredis';
import type { Logger } from '../core/logger.ts';

export interface VersionedCacheOptions {
  redisUrl: string;
  logger: Logger;
  /** The most that a read may cost. Defaults to 50 ms. */
  timeoutMs?: number;
  /** Told of each read: whether the cache had it, had it not, or did not answer. */
  onRead?(outcome: 'hit' | 'miss' | 'skipped'): void;
}

/** So many failures in a row, and Redis is left alone for a while. */
const FAILURES_TO_OPEN = 3;
const OPEN_MS = 1_000;

/** Replaces an entry only by one of a higher version; an equal one only renews its time. */
const PUT = `
local held = redis.call('GET', KEYS[1])
if held and tonumber(string.match(held, '^%d+')) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'EX', ARGV[3])
return 1`;

interface PutCommand {
  putVersion(key: string, version: number, text: string, seconds: number): Promise<number>;
}

/**
 * Texts with a version in Redis. It only ever saves work: a Redis that fails, hangs or is full is skipped, after a few
 * failures without being asked, and nothing waits for a write.
 */
export class VersionedCache {
  readonly #redis: Redis & PutCommand;
  readonly #options: VersionedCacheOptions;
  #failures = 0;
  #openUntilMs = 0;

  constructor(options: VersionedCacheOptions) {
    this.#options = options;
    const redis = new Redis(options.redisUrl, {
      enableOfflineQueue: false,
      enableAutoPipelining: true,
      maxRetriesPerRequest: 0,
      connectTimeout: 5_000,
      commandTimeout: options.timeoutMs ?? 50,
      retryStrategy: (times) => Math.min(2_000, times * 100),
    });
    redis.on('error', (error) => options.logger.debug({ err: error }, 'Failed to talk to the status cache'));
    redis.defineCommand('putVersion', { numberOfKeys: 1, lua: PUT });
    this.#redis = redis as Redis & PutCommand;
  }

  /** What is kept under the key, or null when there is nothing or Redis does not answer in time. */
  async get(key: string): Promise<{ version: number; text: string } | null> {
    if (!this.#isUsable()) {
      this.#options.onRead?.('skipped');
      return null;
    }
    try {
      const held = await this.#redis.get(key);
      this.#failures = 0;
      this.#options.onRead?.(held === null ? 'miss' : 'hit');
      if (held === null) return null;
      const space = held.indexOf(' ');
      return { version: Number(held.slice(0, space)), text: held.slice(space + 1) };
    } catch (error) {
      this.#onFailure(error);
      this.#options.onRead?.('skipped');
      return null;
    }
  }

  /** Keeps a text for so long, unless a higher version is there. Nothing waits for it. */
  put(key: string, version: number, text: string, seconds: number): void {
    if (!this.#isUsable()) return;
    this.#redis.putVersion(key, version, text, seconds).catch((error: unknown) => this.#onFailure(error));
  }

  stop(): void {
    this.#redis.disconnect();
  }

  #isUsable(): boolean {
    return this.#redis.status === 'ready' && Date.now() >= this.#openUntilMs;
  }

  #onFailure(error: unknown): void {
    this.#failures += 1;
    if (this.#failures < FAILURES_TO_OPEN) return;
    // Half-open after the pause: the next failure opens it again at once.
    this.#openUntilMs = Date.now() + OPEN_MS;
    if (this.#failures === FAILURES_TO_OPEN) {
      this.#options.logger.warn(
        { err: error },
        'Left the status cache alone: it failed several times in a row',
      );
    }
  }
}
