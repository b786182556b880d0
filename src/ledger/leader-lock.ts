import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from '../core/logger.ts';

/** Any number, the same in every process: whoever holds it leads. */
const LEADER_LOCK = 5_417_002;

export interface LeaderLockOptions {
  /** A direct connection: a transaction pooler would lose the session's lock. */
  url: string;
  logger: Logger;
  /** How often to ask for the lock, and to look whether it is still held. Defaults to 2 s. */
  retryMs?: number;
}

/**
 * Leader election without a cluster: an advisory lock, which PostgreSQL gives back the moment its session ends. A leader
 * that is cut off learns of it within `retryMs` and a statement's deadline; what it does until then is safe twice.
 */
export class LeaderLock {
  readonly #options: Required<LeaderLockOptions>;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: LeaderLockOptions) {
    this.#options = { retryMs: 2_000, ...options };
  }

  /** Calls `lead` each time the lock is won; its signal aborts when the lock is lost or the election stops. */
  start(lead: (signal: AbortSignal) => Promise<void>): void {
    this.#running ??= this.#run(lead);
  }

  /** Stops leading, then gives the lock back. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        await this.#campaign(lead);
      } catch (error) {
        if (!signal.aborted) this.#options.logger.warn({ err: error }, 'Lost the leader lock');
      }
      await sleep(this.#options.retryMs, undefined, { signal }).catch(() => {});
    }
  }

  /** One session: waits for the lock, leads while the session lives. */
  async #campaign(lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#options.url,
      application_name: 'longshore-leader',
      connectionTimeoutMillis: 5_000,
      query_timeout: 5_000,
      keepAlive: true,
    });
    const lost = new AbortController();
    const signal = AbortSignal.any([lost.signal, this.#abort.signal]);
    client.on('error', (error) => lost.abort(error));
    client.on('end', () => lost.abort(new Error('The session of the leader lock ended')));
    try {
      await client.connect();
      await this.#acquire(client, signal);
      this.#options.logger.info({}, 'Became the leader');
      await Promise.all([lead(signal), this.#watch(client, lost, signal)]);
    } finally {
      await client.end().catch(() => {});
    }
  }

  async #acquire(client: pg.Client, signal: AbortSignal): Promise<void> {
    for (;;) {
      const { rows } = await client.query('select pg_try_advisory_lock($1) as won', [LEADER_LOCK]);
      if (rows[0]?.won === true) return;
      await sleep(this.#options.retryMs, undefined, { signal });
    }
  }

  async #watch(client: pg.Client, lost: AbortController, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await client.query('select 1').catch((error: unknown) => lost.abort(error));
      await sleep(this.#options.retryMs, undefined, { signal }).catch(() => {});
    }
  }
}
