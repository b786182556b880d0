import type { ObjectMeta } from './kinds/meta.ts';
import {
  WORKER_POOL_DEFAULTS,
  WORKER_POOL_REASONS,
  type WorkerPool,
  type WorkerPoolReason,
} from './kinds/worker-pool.ts';

/** Why a pool is not made, or not changed, and what its owner can do about it. */
export interface PoolRefusal {
  reason: WorkerPoolReason;
  message: string;
}

/** Connections to PostgreSQL that a worker opens at most, whatever its concurrency. */
export const CONNECTIONS_PER_POD = 2;

/** How many connections workers may open, all together. */
export interface ConnectionBudget {
  available: number;
  /** Where the number comes from, for the message. */
  source: string;
}

/** An older pool of the namespace that works on one of this one's types. A pool that is going holds nothing back. */
export function findTypeConflict(pool: WorkerPool, all: readonly WorkerPool[]): PoolRefusal | null {
  const types = new Set(pool.spec.types.map((type) => type.name));
  for (const other of all.filter((one) => isElder(one, pool)).sort(byAge)) {
    if (other.metadata.namespace !== pool.metadata.namespace) continue;
    if (other.metadata.deletionTimestamp !== undefined) continue;
    const shared = other.spec.types.find((type) => types.has(type.name));
    if (shared === undefined) continue;
    const message =
      `The older pool "${other.metadata.name}" of this namespace works on ${shared.name}: ` +
      'take the type out of one of them, or delete one';
    return { reason: WORKER_POOL_REASONS.typeConflict, message };
  }
  return null;
}

/** Pools are counted from the oldest on, so that a new pool never takes what an older one counts on. */
export function findConnectionShortage(
  pool: WorkerPool,
  all: readonly WorkerPool[],
  budget: ConnectionBudget,
): PoolRefusal | null {
  const own = connectionsOf(pool);
  let used = 0;
  for (const other of all) if (isElder(other, pool)) used += connectionsOf(other);
  const left = Math.max(0, budget.available - used);
  if (own <= left) return null;
  const message =
    `maxReplicas: ${maxReplicas(pool)} may open ${own} connections to PostgreSQL, and ${left} of the ` +
    `${budget.available} for workers are left (${budget.source}): lower maxReplicas to ` +
    `${Math.max(0, Math.floor(left / CONNECTIONS_PER_POD) - 1)} or that of older pools, or raise the limit`;
  return { reason: WORKER_POOL_REASONS.tooManyConnections, message };
}

/** One more than the most, as a pod of a roll-out comes before another goes. */
function connectionsOf(pool: WorkerPool): number {
  return (maxReplicas(pool) + 1) * CONNECTIONS_PER_POD;
}

function maxReplicas({ spec }: WorkerPool): number {
  return spec.maxReplicas ?? WORKER_POOL_DEFAULTS.maxReplicas;
}

function isElder(one: WorkerPool, than: WorkerPool): boolean {
  return one.metadata.uid !== than.metadata.uid && byAge(one, than) < 0;
}

/** By time of creation, which has whole seconds, then by uid: an order that everybody agrees on. */
function byAge(a: { metadata: ObjectMeta }, b: { metadata: ObjectMeta }): number {
  const at = (one: { metadata: ObjectMeta }) => Date.parse(one.metadata.creationTimestamp ?? '') || 0;
  return at(a) - at(b) || ((a.metadata.uid ?? '') < (b.metadata.uid ?? '') ? -1 : 1);
}
