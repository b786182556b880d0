import { createHash } from 'node:crypto';
import type { Queryable } from './database.ts';

/** A pool of workers: which types of which namespace its secret opens. */
export interface Pool {
  namespace: string;
  name: string;
  types: readonly string[];
}

/** Makes a pool, or changes its types and secret. The ledger keeps only the secret's SHA-256. */
export async function putPool(db: Queryable, pool: Pool, secret: string): Promise<void> {
  const sha256 = createHash('sha256').update(secret).digest();
  await db.query(
    `insert into pools (namespace, name, types, secret_sha256) values ($1, $2, $3, $4)
     on conflict (namespace, name) do update set types = excluded.types, secret_sha256 = excluded.secret_sha256`,
    [pool.namespace, pool.name, pool.types, sha256],
  );
}

/** A namespace's type that live workers take, and how many jobs of it they can run at once. */
export interface ServedType {
  namespace: string;
  type: string;
  capacity: number;
}

/** The types that a worker asked for within the last `freshSeconds`. */
export async function listServedTypes(db: Queryable, freshSeconds: number): Promise<ServedType[]> {
  const { rows } = await db.query<ServedType>(
    `/* served */ select w.namespace, t as type, sum(w.concurrency)::integer as capacity
     from worker_sessions w, unnest(w.types) t
     where w.seen_at > now() - make_interval(secs => $1) group by 1, 2`,
    [freshSeconds],
  );
  return rows;
}
