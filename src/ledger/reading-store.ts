import { Batcher } from '../core/batcher.ts';
import { LongshoreError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { type Database, isOutcomeUnknown, isUnavailable } from './database.ts';
import { type SentReading, type StoredReading, storeReadings } from './store-readings.ts';

/** PostgreSQL did not answer a moment ago: nothing was tried. */
export class LedgerAwayError extends LongshoreError {
  constructor(cause: unknown) {
    super('LedgerAway', 'The ledger did not answer a moment ago', { cause });
  }
}

/** The answer of PostgreSQL was lost, and it could not be asked again: the reading may be stored. Sending it again is safe. */
export class StoringUnknownError extends LongshoreError {
  constructor(cause: unknown) {
    super('StoringUnknown', 'It is not known whether the reading was stored', { cause });
  }
}

export interface ReadingStoreOptions {
  db: Database;
  logger: Logger;
  /** Called after each shared insert. */
  onBatch?(batch: { readings: number; seconds: number; failed: boolean }): void;
  /** Defaults to 5 ms. */
  maxDelayMs?: number;
  /** Readings that may wait before `store` rejects with `BatcherFullError`. Defaults to 2,000. */
  maxQueued?: number;
}

/** After a failure nobody waits for PostgreSQL for this long; then one shared insert tries again. */
const AWAY_MS = 500;

/** The commit batch: readings of concurrent requests in shared inserts, each of which is durable when it answers. */
export class ReadingStore {
  readonly #options: ReadingStoreOptions;
  readonly #batcher: Batcher<SentReading, StoredReading>;
  #away: { untilMs: number; cause: unknown } | undefined;

  constructor(options: ReadingStoreOptions) {
    this.#options = options;
    this.#batcher = new Batcher({
      flush: (sent) => this.#flush(sent),
      maxDelayMs: options.maxDelayMs ?? 5,
      maxQueued: options.maxQueued ?? 2_000,
      maxItems: 500,
      concurrency: 2,
      isIndivisible: (error) =>
        isUnavailable(error) || isOutcomeUnknown(error) || error instanceof StoringUnknownError,
    });
  }

  /**
   * Resolves when the reading is durable, or refused. Rejects with a database error (`isUnavailable`), with
   * {@link LedgerAwayError} shortly after one, with {@link StoringUnknownError}, or with `BatcherFullError` when too many wait.
   */
  store(sent: SentReading): Promise<StoredReading> {
    if (this.isAway) return Promise.reject(new LedgerAwayError(this.#away?.cause));
    return this.#batcher.add(sent);
  }

  /** Many readings in one transaction, all or none. Rejects as `store` does. */
  async storeAll(sent: readonly SentReading[]): Promise<StoredReading[]> {
    if (this.isAway) throw new LedgerAwayError(this.#away?.cause);
    return this.#observed(sent, () => storeReadings(this.#options.db, sent, { allOrNone: true }));
  }

  get isAway(): boolean {
    return this.#away !== undefined && this.#away.untilMs > performance.now();
  }

  drain(): Promise<void> {
    return this.#batcher.drain();
  }

  #flush(sent: SentReading[]): Promise<StoredReading[]> {
    return this.#observed(sent, () => storeReadings(this.#options.db, sent));
  }

  async #observed(
    sent: readonly SentReading[],
    work: () => Promise<StoredReading[]>,
  ): Promise<StoredReading[]> {
    const startedAtMs = performance.now();
    let failed = true;
    try {
      const answers = await work().catch((error: unknown) => this.#again(error, work));
      failed = false;
      this.#away = undefined;
      return answers;
    } catch (error) {
      if (isUnavailable(error) || error instanceof StoringUnknownError)
        this.#away = { untilMs: performance.now() + AWAY_MS, cause: error };
      throw error;
    } finally {
      const seconds = (performance.now() - startedAtMs) / 1_000;
      this.#options.onBatch?.({ readings: sent.length, seconds, failed });
    }
  }

  /** A lost answer: what was stored has its id, so asking once more is as good as looking it up. */
  #again(error: unknown, work: () => Promise<StoredReading[]>): Promise<StoredReading[]> {
    if (!isOutcomeUnknown(error) || neverSent(error)) throw error;
    this.#options.logger.warn({ err: error }, 'Lost the answer to an insert of readings: asking again');
    return work().catch((cause: unknown) => {
      throw isUnavailable(cause) ? new StoringUnknownError(cause) : cause;
    });
  }
}

function neverSent(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return code === 'ECONNREFUSED' || message === 'timeout exceeded when trying to connect';
}
