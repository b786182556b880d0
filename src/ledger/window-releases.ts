import type { Queryable } from './database.ts';

/** A finished job whose QueueJob is to be deleted; the ledger has noted that already. */
export interface ReleasedJob {
  id: string;
  namespace: string;
  /** Key of its QueueJob. */
  objectNamespace: string;
  objectName: string;
  /** The uid of an applied one; null for one of ours. */
  objectUid: string | null;
}

const RELEASED = `j.id, j.namespace, coalesce(j.resource_namespace, j.namespace) as "objectNamespace",
  coalesce(j.resource_name, j.id::text) as "objectName", j.resource_uid as "objectUid"`;

/**
 * Frees up to `wanted` places of a namespace that finished jobs hold, the oldest first: those of applied QueueJobs last, and
 * only as far as fewer than `least` would be free without.
 */
export async function releaseFinished(
  db: Queryable,
  room: { namespace: string; wanted: number; least: number },
): Promise<ReleasedJob[]> {
  const { rows } = await db.query<ReleasedJob>(
    `/* make-room */ with chosen as (
       select id from (
         select id, resource_uid is not null as applied,
           row_number() over (order by resource_uid is not null, finished_at) as n
         from jobs where in_window and namespace = $1 and finished_at is not null) ranked
       where n <= case when applied then least($2::integer, $3::integer) else $2 end)
     update jobs j set in_window = false, projected = false from chosen
     where j.id = chosen.id and j.in_window and j.finished_at is not null returning ${RELEASED}`,
    [room.namespace, room.wanted, room.least],
  );
  return rows;
}

/** Frees the places of finished jobs whose time is up. */
export async function releaseExpired(db: Queryable, limit: number): Promise<ReleasedJob[]> {
  const { rows } = await db.query<ReleasedJob>(
    `/* expire */ with chosen as (
       select id from jobs where in_window and finished_at is not null
         and finished_at + make_interval(secs => ttl_seconds) < now()
       order by finished_at limit $1 for update skip locked)
     update jobs j set in_window = false, projected = false from chosen where j.id = chosen.id returning ${RELEASED}`,
    [limit],
  );
  return rows;
}

/** Frees the places of a schedule's finished jobs beyond the newest `succeeded` and the newest `failed` ones. */
export async function releaseHistory(
  db: Queryable,
  schedule: { namespace: string; name: string },
  keep: { succeeded: number; failed: number },
): Promise<ReleasedJob[]> {
  const { rows } = await db.query<ReleasedJob>(
    `/* history */ with chosen as (
       select id from (
         select id, status = 'SUCCESS' as succeeded,
           row_number() over (partition by status = 'SUCCESS' order by id desc) as n
         from jobs where in_window and namespace = $1 and finished_at is not null
           and labels->>'longshore.dev/schedule' = $2) ranked
       where n > case when succeeded then $3::integer else $4::integer end)
     update jobs j set in_window = false, projected = false from chosen
     where j.id = chosen.id and j.in_window and j.finished_at is not null returning ${RELEASED}`,
    [schedule.namespace, schedule.name, keep.succeeded, keep.failed],
  );
  return rows;
}
