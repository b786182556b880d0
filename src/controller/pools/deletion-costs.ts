import { DELETION_COST_ANNOTATION, planDeletionCosts } from '../../core/deletion-cost.ts';
import { WORKER_POOL_DEFAULTS, type WorkerPool } from '../../core/kinds/worker-pool.ts';
import { isReadyPod, type PodView } from '../../core/pool-pods.ts';
import type { PoolFigures } from '../../core/worker-pool-status.ts';
import type { Database } from '../../ledger/database.ts';
import { countRunningByWorker } from '../../ledger/worker-pools.ts';
import type { PoolWriter } from './pool-writer.ts';

export interface DeletionCostsOptions {
  db: Database;
  writer: PoolWriter;
  /** The shortest time between two rounds of writes to a pool's pods. Defaults to 15 s. */
  intervalMs?: number;
}

/** Points scale-in at idle pods, while one may be near: the load is below what the pods could do. */
export class DeletionCosts {
  readonly #options: DeletionCostsOptions;
  readonly #intervalMs: number;
  /** By uid. */
  readonly #writtenAtMs = new Map<string, number>();

  constructor(options: DeletionCostsOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs ?? 15_000;
  }

  /** Answers how many pods were written to. */
  async update(
    pool: WorkerPool,
    pods: readonly PodView[],
    figures: PoolFigures,
    signal: AbortSignal,
  ): Promise<number> {
    const { uid = '', namespace = '' } = pool.metadata;
    const ready = pods.filter(isReadyPod);
    if (!isBelowCapacity(pool, ready.length, figures.load)) return 0;
    const nowMs = performance.now();
    if (nowMs - (this.#writtenAtMs.get(uid) ?? Number.NEGATIVE_INFINITY) < this.#intervalMs) return 0;
    const { db, writer } = this.#options;
    const types = pool.spec.types.map((type) => type.name);
    const running = await countRunningByWorker(db, namespace, types);
    const costs = planDeletionCosts(ready.map(toCosted), running, concurrencyOf(pool) * types.length);
    if (costs.length === 0) return 0;
    this.#writtenAtMs.set(uid, nowMs);
    for (const { name, cost } of costs) await writer.writeDeletionCost({ namespace, name }, cost, signal);
    return costs.length;
  }

  /** Forgets pools that are no more. */
  keepOnly(uids: ReadonlySet<string>): void {
    for (const uid of this.#writtenAtMs.keys()) if (!uids.has(uid)) this.#writtenAtMs.delete(uid);
  }
}

/** A single pod is no choice. */
function isBelowCapacity(pool: WorkerPool, pods: number, load: number): boolean {
  const jobsPerReplica = pool.spec.jobsPerReplica ?? concurrencyOf(pool);
  return pods > 1 && load < pods * jobsPerReplica;
}

function concurrencyOf({ spec }: WorkerPool): number {
  return spec.concurrency ?? WORKER_POOL_DEFAULTS.concurrency;
}

function toCosted({ metadata }: PodView): { name: string; cost: string | undefined } {
  return { name: metadata.name, cost: metadata.annotations?.[DELETION_COST_ANNOTATION] };
}
