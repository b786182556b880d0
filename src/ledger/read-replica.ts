import type { Logger } from '../core/logger.ts';
import { type Database, isUnavailable, type Queryable } from './database.ts';
import { isSerializationFailure } from './serialization.ts';

/** After a failure the replica is left alone for this long. */
const AWAY_MS = 5_000;

/** Queries that may be answered a moment late: from a replica, and from the ledger itself while the replica is away. */
export class ReadReplica {
  readonly #primary: Database;
  readonly #replica: Database | null;
  readonly #logger: Logger;
  #awayUntilMs = 0;

  constructor(primary: Database, replica: Database | null, logger: Logger) {
    this.#primary = primary;
    this.#replica = replica;
    this.#logger = logger;
  }

  get hasReplica(): boolean {
    return this.#replica !== null;
  }

  async query<T>(work: (db: Queryable) => Promise<T>): Promise<T> {
    if (this.#replica === null || this.#awayUntilMs > performance.now()) return work(this.#primary);
    try {
      return await work(this.#replica);
    } catch (error) {
      // 40001 on a standby: the query stood in the way of the replication.
      if (!isUnavailable(error) && !isSerializationFailure(error)) throw error;
      if (isUnavailable(error)) this.#awayUntilMs = performance.now() + AWAY_MS;
      this.#logger.warn({ err: error }, 'Failed to ask the read replica: asked the ledger itself');
      return work(this.#primary);
    }
  }

  async end(): Promise<void> {
    await this.#replica?.end();
  }
}
