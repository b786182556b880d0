import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted } from '../core/abort.ts';
import type { Logger } from '../core/logger.ts';
import type { KubeClient } from './client.ts';
import { isGone, KubeApiError } from './kube-api-error.ts';
import { type KubeObject, objectKey, type ResourceType } from './resource-type.ts';
import type { ObjectStore } from './store.ts';
import type { WatchEvent } from './watch-stream.ts';

export type ListReason = 'start' | 'gone' | 'failing' | 'resync';

/** What happened to a reflector; a watch can be trusted only when its failures are counted. */
export type ReflectorEvent =
  | { type: 'connected' }
  | { type: 'disconnected'; events: number }
  /** `missed`: changes older than the newest event, that the watch should have told and did not. */
  | { type: 'listed'; reason: ListReason; objects: number; changed: number; missed: number }
  | { type: 'gone' }
  | { type: 'failed'; error: unknown };

export interface ReflectorOptions<T extends KubeObject> {
  client: KubeClient;
  type: ResourceType;
  store: ObjectStore<T>;
  logger: Logger;
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Defaults to 500. */
  pageSize?: number;
  /** A watch ends after this to twice this. Defaults to 240. */
  watchTimeoutSeconds?: number;
  /** Defaults to 90,000. Must be longer than the minute between two bookmarks. */
  idleTimeoutMs?: number;
  /** A full list this often, as proof that nothing was missed. Defaults to 600,000; 0 means never. */
  resyncMs?: number;
  /** Wait after the first failure in a row. Defaults to 500. */
  minBackoffMs?: number;
  /** Defaults to 30,000. */
  maxBackoffMs?: number;
  onEvent?: (event: ReflectorEvent) => void;
}

/** Since the start of the reflector. */
export interface ReflectorStats {
  connects: number;
  lists: number;
  gone: number;
  failures: number;
  missed: number;
  /** Milliseconds since the last list, event or bookmark; null before the first. */
  silenceMs: number | null;
}

/** Failures in a row after which a list, rather than the watch, is tried: the resourceVersion itself may be at fault. */
const FAILURES_BEFORE_LIST = 5;
/** A watch that ends sooner without an event did not work, whatever its status. */
const SHORT_WATCH_MS = 1_000;

/** Keeps a store equal to what the API server holds, through everything that happens to long-lived streams. */
export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  readonly #stats = { connects: 0, lists: 0, gone: 0, failures: 0, missed: 0 };
  #hasSynced = false;
  #resourceVersion = '';
  #listReason: ListReason | undefined = 'start';
  #failuresInRow = 0;
  #lastActivityAt: number | undefined;
  #resyncAt = 0;
  #running: Promise<void> | undefined;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#logger = options.logger.child({ reflector: options.type.plural });
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  get stats(): ReflectorStats {
    const at = this.#lastActivityAt;
    return { ...this.#stats, silenceMs: at === undefined ? null : performance.now() - at };
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves after the first complete list; rejects with the signal's reason when that comes first. */
  async waitForSync(signal: AbortSignal): Promise<void> {
    await unlessAborted(this.#synced.promise, signal);
  }

  /** After it resolves no request is made and no handler called any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        if (this.#listReason !== undefined) await this.#list(this.#listReason);
        await this.#watch();
      } catch (error) {
        if (signal.aborted) return;
        await this.#recover(error);
      }
    }
  }

  async #list(reason: ListReason): Promise<void> {
    const { client, type, namespace, labelSelector, fieldSelector, pageSize, store } = this.#options;
    const objects: T[] = [];
    let resourceVersion = '';
    const { signal } = this.#stopping;
    const options = { namespace, labelSelector, fieldSelector, limit: pageSize, signal, timeoutMs: 30_000 };
    for await (const page of client.listPages<T>(type, options)) {
      objects.push(...page.items);
      resourceVersion = page.resourceVersion;
    }
    signal.throwIfAborted();
    const missed = reason === 'resync' ? this.#countMissed(objects) : 0;
    const changed = store.replaceAll(objects);
    this.#resourceVersion = resourceVersion;
    this.#listReason = undefined;
    this.#stats.lists += 1;
    this.#stats.missed += missed;
    this.#touch();
    const { resyncMs = 600_000 } = this.#options;
    this.#resyncAt = resyncMs === 0 ? Infinity : performance.now() + resyncMs * (0.9 + 0.2 * Math.random());
    this.#hasSynced = true;
    this.#synced.resolve();
    if (missed > 0) this.#logger.error({ missed }, 'Watch missed events');
    this.#emit({ type: 'listed', reason, objects: objects.length, changed, missed });
  }

  async #watch(): Promise<void> {
    const {
      client,
      type,
      namespace,
      labelSelector,
      fieldSelector,
      watchTimeoutSeconds = 240,
    } = this.#options;
    const openedAt = performance.now();
    const untilResyncSeconds = Math.max(1, Math.ceil((this.#resyncAt - openedAt) / 1_000));
    const timeoutSeconds = Math.min(Math.ceil(watchTimeoutSeconds * (1 + Math.random())), untilResyncSeconds);
    this.#stats.connects += 1;
    this.#emit({ type: 'connected' });
    let events = 0;
    const stream = client.watch<T>(type, {
      namespace,
      labelSelector,
      fieldSelector,
      resourceVersion: this.#resourceVersion,
      timeoutSeconds,
      idleTimeoutMs: this.#options.idleTimeoutMs,
      signal: this.#stopping.signal,
    });
    try {
      for await (const event of stream) {
        if (this.#stopping.signal.aborted) return;
        this.#apply(event);
        events += 1;
        this.#failuresInRow = 0;
        if (performance.now() >= this.#resyncAt) break;
      }
    } finally {
      this.#emit({ type: 'disconnected', events });
    }
    if (performance.now() >= this.#resyncAt) this.#listReason = 'resync';
    else if (events === 0 && performance.now() - openedAt < SHORT_WATCH_MS) {
      throw new KubeApiError(0, {
        reason: 'ShortWatch',
        message: 'The watch ended at once without an event',
      });
    }
  }

  #apply(event: WatchEvent<T>): void {
    const { store } = this.#options;
    this.#touch();
    if (event.type === 'BOOKMARK') {
      this.#resourceVersion = event.resourceVersion;
      return;
    }
    if (event.type === 'DELETED') store.remove(objectKey(event.object));
    else store.upsert(event.object);
    this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion;
  }

  async #recover(error: unknown): Promise<void> {
    this.#failuresInRow += 1;
    if (isGone(error)) {
      this.#stats.gone += 1;
      this.#listReason = 'gone';
      this.#emit({ type: 'gone' });
    } else {
      this.#stats.failures += 1;
      if (this.#failuresInRow >= FAILURES_BEFORE_LIST) this.#listReason ??= 'failing';
      this.#logger.warn({ err: error, failuresInRow: this.#failuresInRow }, 'Watch failed');
      this.#emit({ type: 'failed', error });
    }
    const { minBackoffMs = 500, maxBackoffMs = 30_000 } = this.#options;
    const ceiling = Math.min(maxBackoffMs, minBackoffMs * 2 ** Math.min(this.#failuresInRow - 1, 20));
    const told = error instanceof KubeApiError ? (error.retryAfterMs ?? 0) : 0;
    // Jittered, as all reflectors of all replicas lose an API server at the same moment.
    const delayMs = Math.max(told, ceiling * (0.5 + 0.5 * Math.random()));
    await sleep(delayMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }

  /** Objects that changed before the newest event and are not so in the store: newer ones may just be on their way. */
  #countMissed(objects: readonly T[]): number {
    let missed = 0;
    for (const object of objects) {
      const version = object.metadata.resourceVersion ?? '';
      const known = this.#options.store.get(objectKey(object))?.metadata.resourceVersion;
      if (known !== version && isNotNewer(version, this.#resourceVersion)) missed += 1;
    }
    return missed;
  }

  #touch(): void {
    this.#lastActivityAt = performance.now();
  }

  #emit(event: ReflectorEvent): void {
    try {
      this.#options.onEvent?.(event);
    } catch (error) {
      this.#logger.error({ err: error }, 'Reflector observer failed');
    }
  }
}

/** Compares resourceVersions where they are numbers, as those of etcd are; otherwise nothing is known. */
function isNotNewer(version: string, than: string): boolean {
  const isNumber = /^\d+$/;
  return isNumber.test(version) && isNumber.test(than) && BigInt(version) <= BigInt(than);
}
