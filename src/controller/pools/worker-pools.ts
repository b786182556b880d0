import { untilAborted } from '../../core/abort.ts';
import type { WorkerPool } from '../../core/kinds/worker-pool.ts';
import type { Logger } from '../../core/logger.ts';
import type { PoolSettings } from '../../core/pool-manifests/settings.ts';
import type { ConnectionBudget } from '../../core/pool-refusal.ts';
import type { PoolFigures } from '../../core/worker-pool-status.ts';
import type { KubeClient } from '../../kube/client.ts';
import { ReconcileLoop } from '../../kube/reconcile-loop.ts';
import type { ReflectorEvent } from '../../kube/reflector.ts';
import { objectKey, refKey } from '../../kube/resource-type.ts';
import { WorkQueue } from '../../kube/work-queue.ts';
import type { Database } from '../../ledger/database.ts';
import { readPoolLoads } from '../../ledger/pool-loads.ts';
import { listWorkerPools } from '../../ledger/worker-pools.ts';
import { PeriodicService } from '../../lifecycle/service.ts';
import { DefaultPools } from './default-pools.ts';
import { DeletionCosts } from './deletion-costs.ts';
import { PoolReconciler } from './pool-reconciler.ts';
import { PoolWatch } from './pool-watch.ts';
import { PoolWriter } from './pool-writer.ts';

/** What pools are made with. */
export interface PoolOptions {
  settings(): Promise<PoolSettings>;
  /** Connections to PostgreSQL that workers may open. */
  connections(): Promise<ConnectionBudget>;
  isShipped(type: string): boolean;
  /** YAML file of WorkerPools to apply; none when absent. */
  defaultPoolsFile?: string;
  /** How often figures are read. Defaults to 2 s. */
  figuresReadMs?: number;
  /** A status whose figures alone changed is written at most this often. Defaults to 10 s. */
  figuresMs?: number;
  /** Any status is written at most this often. Defaults to 1 s. */
  statusMs?: number;
  /** The shortest time between two rounds of deletion costs of a pool. Defaults to 15 s. */
  deletionCostMs?: number;
  /** How often the cluster is asked whether it has KEDA. Defaults to 30 s. */
  kindsMs?: number;
  /** Defaults to 60 s. */
  resyncMs?: number;
}

export interface WorkerPoolsOptions extends PoolOptions {
  client: KubeClient;
  db: Database;
  logger: Logger;
  /** All namespaces when absent. */
  namespace?: string;
  /** A watch on which nothing arrives for this long is opened again. Defaults to 90 s. */
  watchIdleMs?: number;
  onReflectorEvent?(kind: string, event: ReflectorEvent): void;
  onRound?(service: string, round: { failed: boolean; durationMs: number }): void;
}

/** What is read again at most this often: it changes rarely, and each pool asks for it each time. */
const CACHE_MS = 15_000;

/** Jobs of a type are counted up to this for the status: people want to know how many wait, not only how many pods that makes. */
const FIGURES_CAP = 10_000;

/** Makes pods of WorkerPools, and shows on each pool how it stands. */
export class WorkerPools {
  readonly #options: WorkerPoolsOptions;
  readonly #watch: PoolWatch;
  readonly #writer: PoolWriter;
  readonly #costs: DeletionCosts;
  #figures: ReadonlyMap<string, PoolFigures> = new Map();

  constructor(options: WorkerPoolsOptions) {
    this.#options = options;
    this.#watch = new PoolWatch(options);
    this.#writer = new PoolWriter(options.client);
    this.#costs = new DeletionCosts({
      db: options.db,
      writer: this.#writer,
      ...(options.deletionCostMs === undefined ? {} : { intervalMs: options.deletionCostMs }),
    });
  }

  get isSynced(): boolean {
    return this.#watch.hasSynced;
  }

  get size(): number {
    return this.#watch.pools.size;
  }

  start(): void {
    this.#watch.start();
  }

  waitForSync(signal: AbortSignal): Promise<void> {
    return this.#watch.waitForSync(signal);
  }

  stop(): Promise<void> {
    return this.#watch.stop();
  }

  /** Reconciles until the signal aborts. */
  async lead(signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    const queue = new WorkQueue();
    const addAll = () => {
      for (const key of this.#watch.pools.keys()) queue.add(key);
    };
    const reconciler = this.#createReconciler();
    const reconcile = reconciler.reconcile.bind(reconciler);
    const loop = new ReconcileLoop({ name: 'worker-pools', queue, reconcile, logger });
    const unwatch = this.#watch.onChange((key) => (key === null ? addAll() : queue.add(key)));
    const services = this.#services(queue, addAll);
    // Without figures the first statuses would say that there are none.
    await this.#readFigures(queue).catch(() => 0);
    loop.start();
    for (const service of services) service.start();
    await untilAborted(signal);
    unwatch();
    await Promise.all([...services.map((service) => service.stop()), loop.stop()]);
  }

  #createReconciler(): PoolReconciler {
    const { db, settings, connections, isShipped, figuresMs, statusMs } = this.#options;
    return new PoolReconciler({
      db,
      watch: this.#watch,
      writer: this.#writer,
      isShipped,
      settings: cached(settings),
      connections: cached(connections),
      figuresOf: (pool) => this.#figures.get(objectKey(pool)) ?? null,
      ...(figuresMs === undefined ? {} : { figuresMs }),
      ...(statusMs === undefined ? {} : { statusMs }),
    });
  }

  #services(queue: WorkQueue, addAll: () => void): PeriodicService[] {
    const {
      client,
      logger,
      defaultPoolsFile: file,
      figuresReadMs = 2_000,
      resyncMs = 60_000,
    } = this.#options;
    const services = [
      this.#service('pool-figures', figuresReadMs, async (signal) => ({
        changed: await this.#readFigures(queue),
        costs: await this.#updateCosts(signal),
      })),
      this.#service('pool-resync', resyncMs, async () => {
        addAll();
        for (const pool of await this.#strays()) queue.add(refKey(pool));
        return { pools: this.size };
      }),
    ];
    if (file === undefined) return services;
    const defaults = new DefaultPools({ client, file, logger });
    return [...services, this.#service('default-pools', 30_000, (signal) => defaults.runOnce(signal))];
  }

  /** Pools of the ledger that are nowhere to be seen. */
  async #strays(): Promise<{ namespace: string; name: string }[]> {
    const { db, namespace } = this.#options;
    const known = await listWorkerPools(db);
    return known.filter(
      (pool) =>
        (namespace === undefined || pool.namespace === namespace) &&
        this.#watch.pools.get(refKey(pool)) === undefined,
    );
  }

  /** Answers how many pools have other figures than before. */
  async #readFigures(queue: WorkQueue): Promise<number> {
    const loads = await readPoolLoads(this.#options.db, { cap: FIGURES_CAP });
    const before = this.#figures;
    this.#figures = new Map(
      loads.map(({ namespace, name, queued, active, load, oldestWaitingSeconds }) => [
        refKey({ namespace, name }),
        { queued, active, load, oldestWaitingSeconds: Math.floor(oldestWaitingSeconds) },
      ]),
    );
    let changed = 0;
    for (const [key, figures] of this.#figures) {
      if (isSame(before.get(key), figures) || this.#watch.pools.get(key) === undefined) continue;
      queue.add(key);
      changed += 1;
    }
    return changed;
  }

  async #updateCosts(signal: AbortSignal): Promise<number> {
    let written = 0;
    const pools = [...this.#watch.pools.values()];
    this.#costs.keepOnly(new Set(pools.map(({ metadata }) => metadata.uid ?? '')));
    for (const pool of pools) {
      const figures = this.#figures.get(objectKey(pool));
      if (figures === undefined || isGoing(pool)) continue;
      written += await this.#costs.update(pool, this.#watch.podsOf(pool), figures, signal);
    }
    return written;
  }

  #service(
    name: string,
    intervalMs: number,
    runOnce: (signal: AbortSignal) => Promise<object>,
  ): PeriodicService {
    const { logger, onRound } = this.#options;
    return new PeriodicService({
      name,
      intervalMs,
      runOnce,
      logger,
      onRound: (round) => onRound?.(name, round),
    });
  }
}

function isGoing({ metadata }: WorkerPool): boolean {
  return metadata.deletionTimestamp !== undefined;
}

function isSame(a: PoolFigures | undefined, b: PoolFigures): boolean {
  return (
    a?.queued === b.queued &&
    a.active === b.active &&
    a.load === b.load &&
    a.oldestWaitingSeconds === b.oldestWaitingSeconds
  );
}

function cached<T>(read: () => Promise<T>): () => Promise<T> {
  let found: { value: Promise<T>; atMs: number } | undefined;
  return () => {
    const nowMs = performance.now();
    if (found === undefined || nowMs - found.atMs > CACHE_MS) {
      const value = read();
      const mine = { value, atMs: nowMs };
      found = mine;
      // A failure is not remembered.
      value.catch(() => {
        if (found === mine) found = undefined;
      });
    }
    return found.value;
  };
}
