import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../core/logger.ts';
import type { PoolLoad, PoolRef } from '../core/pool-load.ts';
import { type ScalerError, unknownPool } from './protocol.ts';

/** Where the answers come from: how the named pools stand now. Those that do not exist are left out. */
export type ReadLoads = (pools: readonly PoolRef[]) => Promise<readonly PoolLoad[]>;

/** One open `StreamIsActive`. */
export interface ActivityStream {
  push(active: boolean): void;
  /** Ends it: cleanly, or with an error. */
  end(error?: ScalerError): void;
}

export interface ActivityStreamsOptions {
  read: ReadLoads;
  logger: Logger;
  /** How often all pools are looked at, and told of again while work waits. Defaults to 5,000. */
  repeatMs?: number;
  /** Called for each state that was sent, for metrics. */
  onPush?(active: boolean): void;
}

/** Notifications of this long share one read, and of nine times a read's own time: a flood costs a tenth of a connection. */
const COALESCE_MS = 10;
const MOST_COALESCE_MS = 250;
const REST_FACTOR = 9;
/** A pool that was busy this lately is not asked about for a notification: KEDA acts on the first word alone. */
const BUSY_MS = 1_000;
const RETRY_MS = 500;

interface WatchedPool {
  ref: PoolRef;
  streams: Set<ActivityStream>;
  /** Have not been told anything yet. */
  fresh: Set<ActivityStream>;
  active: boolean;
  readAt: number;
}

/**
 * Tells the open streams of their pools' work: their state when they open, `true` when the first work is there, and
 * again while it waits. One ledger read serves all of them; a flood of notifications costs a busy pool one read a second.
 * `false` is sent at the opening alone, because KEDA does not act on it: it polls.
 */
export class ActivityStreams {
  readonly #options: ActivityStreamsOptions;
  readonly #pools = new Map<string, WatchedPool>();
  readonly #stopping = new AbortController();
  #repeat: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #woken = false;
  #repeatDue = false;

  constructor(options: ActivityStreamsOptions) {
    this.#options = options;
  }

  /** Open streams. */
  get size(): number {
    let size = 0;
    for (const { streams } of this.#pools.values()) size += streams.size;
    return size;
  }

  start(): void {
    this.#repeat ??= setInterval(() => {
      this.#repeatDue = true;
      this.wake();
    }, this.#options.repeatMs ?? 5_000);
  }

  /** There may be work: looks at the pools that had none. Cheap when nobody listens. */
  wake(): void {
    if (this.#stopping.signal.aborted || this.#pools.size === 0) return;
    this.#woken = true;
    this.#running ??= this.#run();
  }

  /** Takes a stream in and tells it of its pool. Answers what takes it out again, which may be called twice. */
  open(ref: PoolRef, stream: ActivityStream): () => void {
    const key = keyOf(ref);
    const pool = this.#pools.get(key) ?? {
      ref,
      streams: new Set(),
      fresh: new Set(),
      active: false,
      readAt: Number.NEGATIVE_INFINITY,
    };
    this.#pools.set(key, pool);
    pool.streams.add(stream);
    pool.fresh.add(stream);
    this.wake();
    return () => {
      pool.streams.delete(stream);
      pool.fresh.delete(stream);
      if (pool.streams.size === 0 && this.#pools.get(key) === pool) this.#pools.delete(key);
    };
  }

  /** KEDA was told, by another way, that a pool has no work: the next work is news again. */
  sawIdle(ref: PoolRef): void {
    const pool = this.#pools.get(keyOf(ref));
    if (pool !== undefined) pool.active = false;
  }

  /** Ends every stream cleanly, so that KEDA asks another replica without a back-off. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#repeat);
    await this.#running;
    for (const { streams } of this.#pools.values()) for (const stream of [...streams]) stream.end();
    this.#pools.clear();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (this.#woken && !signal.aborted) {
      this.#woken = false;
      const repeat = this.#repeatDue;
      this.#repeatDue = false;
      let pauseMs = COALESCE_MS;
      const startedAt = performance.now();
      try {
        await this.#round(repeat);
        const tookMs = performance.now() - startedAt;
        pauseMs = Math.min(MOST_COALESCE_MS, Math.max(COALESCE_MS, REST_FACTOR * tookMs));
      } catch (err) {
        // The streams stay: KEDA keeps its replicas meanwhile, and an error would cost it a back-off.
        this.#options.logger.warn({ err }, 'Could not read the load of pools');
        this.#woken = true;
        this.#repeatDue ||= repeat;
        pauseMs = RETRY_MS;
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
    }
    this.#running = undefined;
  }

  async #round(repeat: boolean): Promise<void> {
    const now = performance.now();
    const asked = [...this.#pools.values()].filter(
      (pool) => repeat || pool.fresh.size > 0 || !pool.active || now - pool.readAt >= BUSY_MS,
    );
    if (asked.length === 0) return;
    const loads = await this.#options.read(asked.map((pool) => pool.ref));
    if (this.#stopping.signal.aborted) return;
    const byKey = new Map(loads.map((load) => [keyOf(load), load.load]));
    for (const pool of asked) {
      const load = byKey.get(keyOf(pool.ref));
      if (load === undefined) for (const stream of [...pool.streams]) stream.end(unknownPool(pool.ref));
      else this.#tell(pool, load > 0, { repeat, now });
    }
  }

  #tell(pool: WatchedPool, active: boolean, { repeat, now }: { repeat: boolean; now: number }): void {
    const isNews = active && (repeat || !pool.active);
    for (const stream of pool.streams) {
      if (!isNews && !pool.fresh.has(stream)) continue;
      stream.push(active);
      this.#options.onPush?.(active);
    }
    pool.fresh.clear();
    pool.active = active;
    pool.readAt = now;
  }
}

function keyOf({ namespace, name }: PoolRef): string {
  return `${namespace}/${name}`;
}
