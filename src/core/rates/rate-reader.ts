import type { Clock } from '../clock.ts';
import type { Logger } from '../logger.ts';
import type { RateSnapshot } from './rate.ts';
import { RateBoard } from './rate-board.ts';

/** Where the rates are: the truth. */
export interface RateSource {
  /** 0 for a namespace without any. */
  readVersion(namespace: string): Promise<number>;
  readSnapshot(namespace: string): Promise<RateSnapshot>;
}

/** A copy that several processes share; every call may come to nothing. */
export interface RateCopies {
  get(namespace: string): Promise<RateSnapshot | null>;
  /** Kept only when no higher version is there. Nothing waits for it. */
  put(namespace: string, snapshot: RateSnapshot): void;
}

export interface RateReaderOptions {
  source: RateSource;
  copies: RateCopies | null;
  logger: Logger;
  clock: Clock;
  /** How often the version is asked for, in case a notification was lost. Defaults to 5 s. */
  pollMs?: number;
  /** A namespace that nobody read for so long is forgotten. Defaults to 10 min. */
  forgetMs?: number;
}

interface Held {
  board: RateBoard;
  /** The newest version that was heard of. */
  wanted: number;
  readAtMs: number;
  refresh: Promise<void> | null;
  listeners: Set<(board: RateBoard) => void>;
}

/**
 * The rates of namespaces in this process, kept up to date: by notifications, and by asking for the version now and then. A
 * read costs nothing but a look into memory; what cannot be refreshed is answered as it was, and its age tells.
 */
export class RateReader {
  readonly #options: Required<RateReaderOptions>;
  readonly #held = new Map<string, Held>();
  readonly #loading = new Map<string, Promise<RateBoard>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RateReaderOptions) {
    this.#options = { pollMs: 5_000, forgetMs: 600_000, ...options };
  }

  /** A promise only for a namespace that was not read lately. Rejects when neither the ledger nor a copy answers. */
  board(namespace: string): RateBoard | Promise<RateBoard> {
    const held = this.#held.get(namespace);
    if (held === undefined) return this.#load(namespace);
    held.readAtMs = this.#options.clock.now();
    return held.board;
  }

  /** Calls `onBoard` with every newer board until the answer is called. */
  async subscribe(namespace: string, onBoard: (board: RateBoard) => void): Promise<() => void> {
    await this.board(namespace);
    const held = this.#held.get(namespace);
    held?.listeners.add(onBoard);
    return () => void held?.listeners.delete(onBoard);
  }

  /** To be called with each notification. */
  onChange(namespace: string, version: number): void {
    const held = this.#held.get(namespace);
    if (held === undefined || version <= held.board.version) return;
    held.wanted = Math.max(held.wanted, version);
    this.#refresh(namespace, held);
  }

  /** To be called when notifications may have been missed. */
  check(): void {
    void this.#poll();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#held.clear();
  }

  #load(namespace: string): Promise<RateBoard> {
    const loading = this.#loading.get(namespace);
    if (loading !== undefined) return loading;
    const load = this.#readFirst(namespace)
      .then((snapshot) => {
        const board = new RateBoard(snapshot);
        const readAtMs = this.#options.clock.now();
        this.#held.set(namespace, {
          board,
          wanted: board.version,
          readAtMs,
          refresh: null,
          listeners: new Set(),
        });
        this.#timer ??= setInterval(() => void this.#poll(), this.#options.pollMs).unref();
        return board;
      })
      .finally(() => this.#loading.delete(namespace));
    this.#loading.set(namespace, load);
    return load;
  }

  /** A copy will do when it is as new as the ledger says, or when the ledger says nothing. */
  async #readFirst(namespace: string): Promise<RateSnapshot> {
    try {
      return await this.#read(namespace, await this.#options.source.readVersion(namespace));
    } catch (error) {
      const copy = (await this.#options.copies?.get(namespace)) ?? null;
      if (copy === null) throw error;
      this.#options.logger.warn({ err: error, namespace }, 'Read rates from their copy alone');
      return copy;
    }
  }

  async #read(namespace: string, version: number): Promise<RateSnapshot> {
    const { source, copies } = this.#options;
    const copy = (await copies?.get(namespace)) ?? null;
    if (copy !== null && copy.version >= version) return copy;
    const snapshot = await source.readSnapshot(namespace);
    copies?.put(namespace, snapshot);
    return snapshot;
  }

  #refresh(namespace: string, held: Held): void {
    held.refresh ??= this.#catchUp(namespace, held)
      .catch((error: unknown) => {
        // The next notification or poll tries again; until then the ages tell.
        this.#options.logger.warn({ err: error, namespace }, 'Failed to refresh rates');
      })
      .finally(() => {
        held.refresh = null;
      });
  }

  async #catchUp(namespace: string, held: Held): Promise<void> {
    while (held.board.version < held.wanted) {
      const snapshot = await this.#read(namespace, held.wanted);
      if (snapshot.version <= held.board.version) return;
      held.board = new RateBoard(snapshot);
      for (const listener of held.listeners) listener(held.board);
    }
  }

  async #poll(): Promise<void> {
    const { source, clock, forgetMs, logger } = this.#options;
    for (const [namespace, held] of this.#held) {
      if (held.listeners.size === 0 && clock.now() - held.readAtMs > forgetMs) {
        this.#held.delete(namespace);
        continue;
      }
      try {
        this.onChange(namespace, await source.readVersion(namespace));
      } catch (error) {
        logger.debug({ err: error, namespace }, 'Failed to ask for the version of rates');
      }
    }
  }
}
