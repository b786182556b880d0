import type { Queryable } from './database.ts';

/**
 * Ends the schedule of a JobSchedule that is gone, or that another one of the same name has replaced; one made over REST
 * stays. Its jobs stay too.
 *
 * @param exceptUid - The JobSchedule that is there now; null when there is none.
 */
export async function deleteOrphanedSchedule(
  db: Queryable,
  namespace: string,
  name: string,
  exceptUid: string | null,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `/* schedule-orphan */ delete from schedules where namespace = $1 and name = $2 and resource_uid is not null
       and resource_uid is distinct from $3`,
    [namespace, name, exceptUid],
  );
  return rowCount === 1;
}

/** Schedules that JobSchedules made, as keys. */
export async function listResourceSchedules(db: Queryable): Promise<{ namespace: string; name: string }[]> {
  const { rows } = await db.query<{ namespace: string; name: string }>(
    '/* schedule-keys */ select namespace, name from schedules where resource_uid is not null limit 100000',
  );
  return rows;
}

/** How many of a schedule's newest hundred jobs have not ended. */
export async function countActive(db: Queryable, namespace: string, name: string): Promise<number> {
  const { rows } = await db.query<{ active: number }>(
    `/* schedule-active */ select count(*)::integer as active from (
       select j.finished_at from job_labels l join jobs j on j.id = l.job_id
       where l.namespace = $1 and l.key = 'longshore.dev/schedule' and l.value = $2
       order by l.job_id desc limit 100) newest
     where finished_at is null`,
    [namespace, name],
  );
  return rows[0]?.active ?? 0;
}
