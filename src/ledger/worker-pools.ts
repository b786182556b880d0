import { type Database, type Queryable, withTransaction } from './database.ts';
import { putJobType, type StoredJobType } from './job-types.ts';
import { type Pool, putPool } from './pools.ts';

/** A WorkerPool as the ledger is told of it. */
export interface LedgerWorkerPool extends Pool {
  resourceUid: string;
  /** Jobs that all of its pods could run at once. */
  capacity: number;
  /** Types that the pool declares itself; those of the namespace that it declared before and not now are forgotten. */
  declares: readonly Omit<StoredJobType, 'paused' | 'namespace'>[];
}

/** Writes a WorkerPool with the types that it declares, all or nothing. */
export async function putWorkerPool(db: Database, pool: LedgerWorkerPool, secret: string): Promise<void> {
  const { namespace, name, resourceUid, capacity, declares } = pool;
  await withTransaction(db, async (client) => {
    await putPool(client, pool, secret);
    await client.query(
      `/* worker-pool */ update pools set resource_uid = $3, capacity = $4
       where namespace = $1 and name = $2 and (resource_uid, capacity) is distinct from ($3, $4)`,
      [namespace, name, resourceUid, capacity],
    );
    for (const type of declares) await putJobType(client, { ...type, namespace });
    const names = declares.map((type) => type.name);
    await client.query(
      `/* worker-pool-types */ update job_types set pool = $2
       where namespace = $1 and name = any ($3) and pool is distinct from $2`,
      [namespace, name, names],
    );
    await client.query('delete from job_types where namespace = $1 and pool = $2 and not (name = any ($3))', [
      namespace,
      name,
      names,
    ]);
    // Jobs of its types may be admitted from now on.
    await client.query('select notify_work()');
  });
}

/** Which WorkerPool a row is of: a later one of the same name is another. */
export interface WorkerPoolRef {
  namespace: string;
  name: string;
  resourceUid: string;
}

/** Lets a WorkerPool start nothing more: before it goes, or while an older one has one of its types. */
export async function pauseWorkerPool(db: Queryable, pool: WorkerPoolRef): Promise<void> {
  await db.query(
    `/* pause-pool */ update pools set paused = true
     where namespace = $1 and name = $2 and resource_uid = $3 and not paused`,
    [pool.namespace, pool.name, pool.resourceUid],
  );
}

/** Forgets a WorkerPool, its sessions and the types that it declared. Jobs of them wait for another pool. */
export async function deleteWorkerPool(db: Database, pool: WorkerPoolRef): Promise<void> {
  const { namespace, name, resourceUid } = pool;
  await withTransaction(db, async (client) => {
    const { rowCount } = await client.query(
      'delete from pools where namespace = $1 and name = $2 and resource_uid = $3',
      [namespace, name, resourceUid],
    );
    // Another WorkerPool of the same name may have taken its place by now.
    if (rowCount === 0) return;
    await client.query('delete from worker_sessions where namespace = $1 and pool = $2', [namespace, name]);
    await client.query('delete from job_types where namespace = $1 and pool = $2', [namespace, name]);
  });
}

/** The WorkerPools that the ledger knows, so that those whose object is gone can be forgotten. */
export async function listWorkerPools(db: Queryable): Promise<WorkerPoolRef[]> {
  const { rows } = await db.query<WorkerPoolRef>(
    'select namespace, name, resource_uid as "resourceUid" from pools where resource_uid is not null',
  );
  return rows;
}

/** Running jobs of each worker of a pool; workers without any are left out. A worker's id begins with its pod's name. */
export async function countRunningByWorker(
  db: Queryable,
  namespace: string,
  types: readonly string[],
): Promise<Map<string, number>> {
  const { rows } = await db.query<{ worker: string; jobs: number }>(
    `/* running-by-worker */ select worker, count(*)::integer as jobs from jobs
     where namespace = $1 and type = any ($2) and lease_until is not null and worker is not null group by 1`,
    [namespace, types],
  );
  return new Map(rows.map(({ worker, jobs }) => [worker, jobs]));
}

/** How many connections PostgreSQL has for a login, and what sets that bound. */
export async function readConnectionLimit(
  db: Queryable,
  login: string,
  reserve: number,
): Promise<{ available: number; source: string }> {
  const { rows } = await db.query<{ most: number; roleMost: number | null }>(
    `/* connections */ select
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer as most,
       (select rolconnlimit from pg_roles where rolname = $1 and rolconnlimit >= 0) as "roleMost"`,
    [login],
  );
  const { most = 0, roleMost = null } = rows[0] ?? {};
  const ofServer = Math.max(0, most - reserve);
  return roleMost !== null && roleMost < ofServer
    ? { available: roleMost, source: `the connection limit of role ${login}` }
    : { available: ofServer, source: `max_connections less ${reserve} in reserve` };
}
