import { createHash } from 'node:crypto';
import type { PoolScale } from '../core/pool-load.ts';
import type { Queryable } from './database.ts';

/** A pool of workers: which types of which namespace its secret opens. */
export interface Pool {
  namespace: string;
  name: string;
  types: readonly string[];
  /** Absent: as it was, or the defaults of a WorkerPool. */
  scale?: PoolScale;
}

/**
 * Makes a pool, or changes its types, scale and secret; what is the same is not written again. The ledger keeps only the
 * secret's SHA-256.
 */
export async function putPool(db: Queryable, pool: Pool, secret: string): Promise<void> {
  const sha256 = createHash('sha256').update(secret).digest();
  const { scale } = pool;
  await db.query(
    `/* put-pool */ insert into pools as p
       (namespace, name, types, secret_sha256, max_replicas, jobs_per_replica, paused)
     values ($1, $2, $3, $4, coalesce($5::integer, 10), coalesce($6::integer, 10), coalesce($7::boolean, false))
     on conflict (namespace, name) do update set types = excluded.types, secret_sha256 = excluded.secret_sha256,
       max_replicas = coalesce($5, p.max_replicas), jobs_per_replica = coalesce($6, p.jobs_per_replica),
       paused = coalesce($7, p.paused)
     where (p.types, p.secret_sha256, p.max_replicas, p.jobs_per_replica, p.paused) is distinct from
       (excluded.types, excluded.secret_sha256, coalesce($5, p.max_replicas), coalesce($6, p.jobs_per_replica),
        coalesce($7, p.paused))`,
    [
      pool.namespace,
      pool.name,
      pool.types,
      sha256,
      scale?.maxReplicas ?? null,
      scale?.jobsPerReplica ?? null,
      scale?.paused ?? null,
    ],
  );
}

/** A namespace's type that live workers take, and how many jobs of it they can run at once. */
export interface ServedType {
  namespace: string;
  type: string;
  capacity: number;
}

/**
 * The types that a worker asked for within the last `freshSeconds`, and those of WorkerPools, whose pods come when there is
 * work. A paused pool serves nothing.
 */
export async function listServedTypes(db: Queryable, freshSeconds: number): Promise<ServedType[]> {
  const { rows } = await db.query<ServedType>(
    `/* served */ select namespace, type, max(capacity)::integer as capacity from (
       select w.namespace, t as type, sum(w.concurrency) as capacity from worker_sessions w, unnest(w.types) t
       where w.seen_at > now() - make_interval(secs => $1)
         and not exists (select from pools p where p.namespace = w.namespace and p.name = w.pool and p.paused) group by 1, 2
       union all
       select p.namespace, t, p.capacity from pools p, unnest(p.types) t where p.capacity > 0 and not p.paused) served
     group by 1, 2`,
    [freshSeconds],
  );
  return rows;
}
