import {
  type Pace,
  type PoolLoad,
  type PoolRef,
  type PoolScale,
  poolLoad,
  type TypeDemand,
} from '../core/pool-load.ts';
import type { Queryable } from './database.ts';

export interface PoolLoadOptions {
  /** Those alone. Defaults to all pools. */
  pools?: readonly PoolRef[];
  /** Jobs of a type are counted up to this, or up to what the pool's pods take together if that is more. Defaults to that. */
  cap?: number;
  /** How long a pod takes to start: work that is due until then counts. Defaults to 5,000. */
  startMs?: number;
}

interface Row extends PoolScale, PoolRef {
  active: number;
  due: number;
  coming: number;
  oldestSeconds: number;
  typePaused: boolean;
  maxRunning: number | null;
  ratePerSecond: number | null;
  rateNextInMs: number | null;
  budgetPerSecond: number | null;
  budgetNextInMs: number | null;
  budgetLeft: number | null;
}

/** Reads how pools stand. Those that the ledger does not know are left out. */
export async function readPoolLoads(db: Queryable, options: PoolLoadOptions = {}): Promise<PoolLoad[]> {
  const { pools, cap = 0, startMs = 5_000 } = options;
  if (pools?.length === 0) return [];
  const { rows } = await db.query<Row>('/* pool-loads */ select * from pool_loads($1, $2, $3, $4)', [
    pools?.map((pool) => pool.namespace) ?? null,
    pools?.map((pool) => pool.name) ?? null,
    cap,
    startMs,
  ]);
  const byPool = Map.groupBy(rows, (row) => `${row.namespace}/${row.name}`);
  return [...byPool.values()].map((ofPool) => toPoolLoad(ofPool, startMs));
}

function toPoolLoad(rows: readonly Row[], startMs: number): PoolLoad {
  const [first] = rows;
  if (first === undefined) throw new RangeError('A pool has at least one row');
  const { namespace, name, maxReplicas, jobsPerReplica, paused } = first;
  return {
    namespace,
    name,
    maxReplicas,
    jobsPerReplica,
    paused,
    load: poolLoad({ maxReplicas, jobsPerReplica, paused }, rows.map(toDemand), startMs),
    active: rows.reduce((sum, row) => sum + row.active, 0),
    queued: rows.reduce((sum, row) => sum + row.due, 0),
    oldestWaitingSeconds: Math.max(...rows.map((row) => row.oldestSeconds)),
  };
}

function toDemand(row: Row): TypeDemand {
  return {
    active: row.active,
    runnable: row.due + row.coming,
    paused: row.typePaused,
    maxRunning: row.maxRunning,
    rate: toPace(row.ratePerSecond, row.rateNextInMs, null),
    budget: toPace(row.budgetPerSecond, row.budgetNextInMs, row.budgetLeft),
  };
}

function toPace(perSecond: number | null, nextInMs: number | null, left: number | null): Pace | null {
  return perSecond === null
    ? null
    : { perSecond, nextInMs: nextInMs ?? 0, left: left === null ? null : Math.max(0, left) };
}
