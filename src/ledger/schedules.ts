import type { Queryable } from './database.ts';

/** A schedule; `spec` is what its owner wrote, checked when it was written. */
export interface Schedule<Spec = unknown> {
  namespace: string;
  name: string;
  spec: Spec;
  /** The JobSchedule that it belongs to; null for one made over REST. */
  resourceUid: string | null;
  /** The shipped type that keeps it for itself; null for everybody else's. */
  keptBy: string | null;
  nextFireAtMs: number | null;
  lastFireAtMs: number | null;
  lastJobId: string | null;
  version: number;
  createdAtMs: number;
  updatedAtMs: number;
}

interface ScheduleRow {
  namespace: string;
  name: string;
  spec: unknown;
  resource_uid: string | null;
  kept_by: string | null;
  next_fire_at: Date | null;
  last_fire_at: Date | null;
  last_job_id: string | null;
  version: number;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS =
  's.namespace, s.name, s.spec, s.resource_uid, s.kept_by, s.next_fire_at, s.last_fire_at, s.last_job_id, s.version, s.created_at, s.updated_at';

export interface PutSchedule {
  namespace: string;
  name: string;
  spec: unknown;
  resourceUid: string | null;
  /** Defaults to null. */
  keptBy?: string | null;
  /** Null for a suspended schedule. */
  nextFireAtMs: number | null;
}

/**
 * Makes a schedule or changes it; an equal spec changes nothing, so that a repeated PUT does not move the next fire.
 * Answers `owned` when another owner (a resource, a shipped type, or REST) has it.
 */
export async function putSchedule(
  db: Queryable,
  schedule: PutSchedule,
): Promise<{ outcome: 'created' | 'updated'; schedule: Schedule } | { outcome: 'owned' }> {
  const { rows } = await db.query<ScheduleRow & { created: boolean }>(
    `/* schedule-put */ insert into schedules as s (namespace, name, spec, resource_uid, next_fire_at, kept_by)
     values ($1, $2, $3, $4, $5, $6)
     on conflict (namespace, name) do update set
       spec = excluded.spec, updated_at = now(),
       version = s.version + case when s.spec = excluded.spec then 0 else 1 end,
       next_fire_at = case when s.spec = excluded.spec then s.next_fire_at else excluded.next_fire_at end
     where s.resource_uid is not distinct from excluded.resource_uid and s.kept_by is not distinct from excluded.kept_by
     returning ${COLUMNS}, xmax = 0 as created`,
    [
      schedule.namespace,
      schedule.name,
      JSON.stringify(schedule.spec),
      schedule.resourceUid,
      schedule.nextFireAtMs === null ? null : new Date(schedule.nextFireAtMs),
      schedule.keptBy ?? null,
    ],
  );
  const row = rows[0];
  if (row === undefined) return { outcome: 'owned' };
  return { outcome: row.created ? 'created' : 'updated', schedule: toSchedule(row) };
}

export async function getSchedule(db: Queryable, namespace: string, name: string): Promise<Schedule | null> {
  const { rows } = await db.query<ScheduleRow>(
    `/* schedule */ select ${COLUMNS} from schedules s where s.namespace = $1 and s.name = $2`,
    [namespace, name],
  );
  return rows[0] === undefined ? null : toSchedule(rows[0]);
}

/** Ends the schedules that a shipped type keeps, but for those of `keys`. Answers how many ended. */
export async function deleteKeptSchedules(
  db: Queryable,
  keptBy: string,
  keys: readonly { namespace: string; name: string }[],
): Promise<number> {
  const { rowCount } = await db.query(
    `/* schedules-kept */ delete from schedules where kept_by = $1
       and (namespace, name) not in (select * from unnest($2::text[], $3::text[]))`,
    [keptBy, keys.map((key) => key.namespace), keys.map((key) => key.name)],
  );
  return rowCount ?? 0;
}

/** A page by name: those after `afterName`. */
export async function listSchedules(
  db: Queryable,
  namespace: string,
  page: { limit: number; afterName: string | null },
): Promise<Schedule[]> {
  const { rows } = await db.query<ScheduleRow>(
    `/* schedules */ select ${COLUMNS} from schedules s where s.namespace = $1 and ($2::text is null or s.name > $2)
     order by s.name limit $3`,
    [namespace, page.afterName, page.limit],
  );
  return rows.map(toSchedule);
}

/** Ends a schedule; its jobs stay. `owned` when another owner has it. */
export async function deleteSchedule(
  db: Queryable,
  namespace: string,
  name: string,
  resourceUid: string | null,
): Promise<'deleted' | 'missing' | 'owned'> {
  const { rows } = await db.query<{ deleted: boolean }>(
    `/* schedule-drop */ with gone as (
       delete from schedules s where s.namespace = $1 and s.name = $2 and s.resource_uid is not distinct from $3
         and s.kept_by is null returning 1)
     select exists (select from gone) as deleted from schedules s where s.namespace = $1 and s.name = $2`,
    [namespace, name, resourceUid],
  );
  if (rows[0] === undefined) return 'missing';
  return rows[0].deleted ? 'deleted' : 'owned';
}

function toSchedule(row: ScheduleRow): Schedule {
  return {
    namespace: row.namespace,
    name: row.name,
    spec: row.spec,
    resourceUid: row.resource_uid,
    keptBy: row.kept_by,
    nextFireAtMs: row.next_fire_at?.getTime() ?? null,
    lastFireAtMs: row.last_fire_at?.getTime() ?? null,
    lastJobId: row.last_job_id,
    version: row.version,
    createdAtMs: row.created_at.getTime(),
    updatedAtMs: row.updated_at.getTime(),
  };
}
