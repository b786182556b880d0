import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { unlessAborted } from '../core/abort.ts';
import type { Logger } from '../core/logger.ts';

/** A server that does not answer is not waited for: the connection ends with the process, or with the network's patience. */
const END_TIMEOUT_MS = 2_000;

export interface ListenerEvents {
  /** Work was accepted, became free, or is due: look at the ledger. */
  work: [];
  /** Jobs changed in a way that a client can see. */
  changes: [ids: string[]];
  /** The exchange rates of a namespace changed. */
  rates: [namespace: string, version: number];
  /** Listening began, or began again: notifications may have been missed, so look at everything. */
  connected: [];
}

/**
 * Hears the ledger's notifications on a connection of its own (`LISTEN` needs a session, so the URL must not lead to a
 * transaction pooler). Notifications only wake; whoever listens must poll too, because they are lost with the connection.
 */
export class LedgerListener extends EventEmitter<ListenerEvents> {
  readonly #url: string;
  readonly #logger: Logger;
  readonly #abort = new AbortController();
  #client: pg.Client | undefined;
  #running: Promise<void> | undefined;

  constructor(options: { url: string; logger: Logger }) {
    super();
    this.#url = options.url;
    this.#logger = options.logger;
    this.setMaxListeners(100);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    if (this.#client !== undefined) await endClient(this.#client);
    await this.#running;
  }

  async #run(): Promise<void> {
    let delayMs = 100;
    while (!this.#abort.signal.aborted) {
      try {
        await this.#listen(() => {
          delayMs = 100;
        });
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        this.#logger.warn({ err: error, retryInMs: delayMs }, 'Lost the connection for ledger notifications');
      }
      await sleep(delayMs, undefined, { signal: this.#abort.signal }).catch(() => {});
      delayMs = Math.min(5_000, delayMs * 2);
    }
  }

  /** Listens until the connection ends. */
  async #listen(onConnected: () => void): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'longshore-listener',
      connectionTimeoutMillis: 5_000,
      query_timeout: 5_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 5_000,
    });
    this.#client = client;
    const ended = new Promise<never>((_, reject) => {
      client.once('error', reject);
      client.once('end', () => reject(new Error('The connection ended')));
    });
    ended.catch(() => {});
    client.on('notification', (message) => this.#onNotification(message));
    try {
      // A client that is ended while it connects never says so.
      await unlessAborted(client.connect(), this.#abort.signal);
      await client.query('listen longshore_work; listen longshore_changes; listen longshore_rates');
      onConnected();
      this.emit('connected');
      await Promise.race([ended, this.#probe(client)]);
    } finally {
      await endClient(client);
    }
  }

  /** A silent half-open connection would lose every notification without an error: ask it something now and then. */
  async #probe(client: pg.Client): Promise<never> {
    for (;;) {
      await sleep(15_000, undefined, { signal: this.#abort.signal });
      await client.query('select 1');
    }
  }

  #onNotification(message: pg.Notification): void {
    if (message.channel === 'longshore_work') this.emit('work');
    else if (message.channel === 'longshore_rates') {
      const [namespace = '', version = '0'] = (message.payload ?? '').split(' ');
      this.emit('rates', namespace, Number(version));
    } else
      this.emit(
        'changes',
        (message.payload ?? '').split(',').filter((id) => id !== ''),
      );
  }
}

async function endClient(client: pg.Client): Promise<void> {
  const ended = new AbortController();
  const patience = sleep(END_TIMEOUT_MS, undefined, { signal: ended.signal, ref: false }).catch(() => {});
  await Promise.race([client.end().catch(() => {}), patience]);
  ended.abort();
}
