import { type Database, type Queryable, withTransaction } from './database.ts';

/** How long finished things are kept, in days. */
export interface Retention {
  jobDays: number;
  blobDays: number;
  /** Single exchange rates; their roll-ups by minute and by hour. */
  rateDays: number;
  rateMinuteDays: number;
  rateHourDays: number;
}

/** A blob that no job owns may be one whose job is about to be accepted. */
const ORPHAN_BLOB_AGE = `interval '1 hour'`;
const PARTITIONS_AHEAD = `interval '14 days'`;
const LOWEST_ID = '00000000-0000-0000-0000-000000000000';

/** Makes the partitions of the coming two weeks. Answers how many were missing. */
export async function ensurePartitions(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ made: number }>(
    `/* partitions */ select ensure_partitions(now(), now() + ${PARTITIONS_AHEAD}) as made`,
  );
  return rows[0]?.made ?? 0;
}

/** Makes the days of the coming rates, and drops those whose rates are kept no longer. */
export async function keepRateHistory(
  db: Queryable,
  rateDays: number,
): Promise<{ made: number; dropped: number }> {
  const { rows } = await db.query<{ made: number; dropped: number }>(
    '/* rate-days */ select made, dropped from keep_rate_history($1)',
    [rateDays],
  );
  return rows[0] ?? { made: 0, dropped: 0 };
}

interface Week {
  name: string;
  /** `YYYYMMDD` of its Monday. */
  day: string;
}

/** Weeks that lie wholly before the time that is kept. */
async function listOldWeeks(db: Queryable, jobDays: number): Promise<Week[]> {
  const { rows } = await db.query<Week>(
    `/* weeks */ select c.relname as name, substring(c.relname from '\\d{8}$') as day
     from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'longshore.jobs'::regclass and c.relname ~ '^jobs_\\d{8}$'
       and (to_date(substring(c.relname from '\\d{8}$'), 'YYYYMMDD') + 7)::timestamp at time zone 'UTC' <= now() - make_interval(days => $1)
     order by 1`,
    [jobDays],
  );
  return rows;
}

/**
 * Drops the weeks in which every job ended longer ago than it is kept. A week that cannot be had at once is left for the
 * next round: nobody waits for this. Answers how many were dropped.
 */
export async function dropOldWeeks(db: Database, jobDays: number): Promise<number> {
  let dropped = 0;
  for (const week of await listOldWeeks(db, jobDays)) {
    if (await isKept(db, week, jobDays)) continue;
    if (await dropWeek(db, week, jobDays)) dropped += 1;
  }
  return dropped;
}

/** Whether a job of the week is unfinished, shown by a QueueJob, or ended lately. */
async function isKept(db: Queryable, { name }: Week, jobDays: number): Promise<boolean> {
  const { rows } = await db.query<{ kept: boolean }>(
    `/* week-kept */ select exists (select from longshore."${name}"
       where finished_at is null or in_window or finished_at >= now() - make_interval(days => $1)) as kept`,
    [jobDays],
  );
  return rows[0]?.kept !== false;
}

async function dropWeek(db: Database, week: Week, jobDays: number): Promise<boolean> {
  try {
    return await withTransaction(db, async (client) => {
      // Shorter than the time after which PostgreSQL looks for deadlocks: of two that wait for each other, this one yields.
      await client.query(`set local lock_timeout = '500ms'`);
      await client.query(`lock table longshore."${week.name}" in share row exclusive mode`);
      if (await isKept(client, week, jobDays)) return false;
      await client.query(`delete from unique_keys k using longshore."${week.name}" j where k.job_id = j.id`);
      for (const parent of ['jobs', 'attempts', 'events'])
        await client.query(`drop table if exists longshore."${parent}_${week.day}"`);
      return true;
    });
  } catch (error) {
    // 55P03: the lock could not be had in time; 40P01: deadlock.
    if (['55P03', '40P01'].includes(String((error as { code?: unknown }).code))) return false;
    throw error;
  }
}

/**
 * Deletes up to `limit` old jobs, with their deliveries and events, of weeks that cannot be dropped. Give the answer's
 * `cursor` to the next call; null means that there are no more.
 */
export async function deleteOldJobs(
  db: Queryable,
  jobDays: number,
  limit: number,
  cursor: string | null,
): Promise<{ deleted: number; cursor: string | null }> {
  const { rows } = await db.query<{ deleted: number; last: string | null }>(
    `/* old-jobs */ with old as materialized (
       select id from jobs where id > $3 and id < uuid_floor(date_trunc('week', now() - make_interval(days => $1), 'UTC'))
         and finished_at < now() - make_interval(days => $1) and not in_window
       order by id limit $2 for update skip locked
     ), gone_attempts as (delete from attempts a using old where a.job_id = old.id),
     gone_events as (delete from events e using old where e.job_id = old.id),
     gone_keys as (delete from unique_keys k using old where k.job_id = old.id),
     gone as (delete from jobs j using old where j.id = old.id returning 1)
     select (select count(*)::integer from gone) as deleted, (select id from old order by id desc limit 1) as last`,
    [jobDays, limit, cursor ?? LOWEST_ID],
  );
  const { deleted = 0, last = null } = rows[0] ?? {};
  return { deleted, cursor: deleted < limit ? null : last };
}

/**
 * Deletes up to `limit` jobs of schedules that a shipped type keeps, a day after they were made: one each ten seconds, and
 * what they brought is kept elsewhere. Answers how many fire times were dealt with.
 */
export async function deleteOldRounds(db: Queryable, limit: number): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `/* old-rounds */ with old as materialized (
       select f.namespace, f.name, f.fire_at, f.job_id as id
       from schedule_fires f
       join schedules s on s.namespace = f.namespace and s.name = f.name and s.kept_by is not null
       left join jobs j on j.id = f.job_id
       where f.decided_at < now() - interval '1 day' and (j.id is null or j.finished_at is not null and not j.in_window)
       order by f.decided_at limit $1
     ), gone_attempts as (delete from attempts a using old where a.job_id = old.id),
     gone_events as (delete from events e using old where e.job_id = old.id),
     gone_labels as (delete from job_labels l using old where l.job_id = old.id),
     gone_keys as (delete from unique_keys k using old where k.job_id = old.id),
     gone_jobs as (delete from jobs j using old where j.id = old.id),
     gone as (delete from schedule_fires f using old
       where f.namespace = old.namespace and f.name = old.name and f.fire_at = old.fire_at returning 1)
     select count(*)::integer as count from gone`,
    [limit],
  );
  return rows[0]?.count ?? 0;
}

/**
 * What is swept in bounded batches, by name. $1 the days that jobs are kept, $2 those of blobs, $3 the batch, $4 and $5 the days of
 * exchange rates by minute and by hour.
 */
const SWEEPS = {
  labels: `delete from job_labels where ctid = any (array(select l.ctid from job_labels l
    where l.job_id < uuid_floor(now() - make_interval(days => $1)) and not exists (select from jobs j where j.id = l.job_id) limit $3))`,
  jobBlobs: `delete from job_blobs where ctid = any (array(select o.ctid from job_blobs o
    where o.job_id < uuid_floor(now() - make_interval(days => $1)) and not exists (select from jobs j where j.id = o.job_id) limit $3))`,
  webhooks: `delete from webhooks where ctid = any (array(select w.ctid from webhooks w
    where coalesce(w.delivered_at, w.gave_up_at) < now() - make_interval(days => $2) limit $3))`,
  uniqueKeys: `delete from unique_keys where ctid = any (array(select k.ctid from unique_keys k
    where k.expires_at < now() limit $3 for update skip locked)) and expires_at < now()`,
  sessions: `delete from worker_sessions where seen_at < now() - interval '1 hour'`,
  bulkOperations: `delete from bulk_operations where state = 'done' and finished_at < now() - make_interval(days => $1)`,
  fires: `delete from schedule_fires where ctid = any (array(select f.ctid from schedule_fires f
    where f.decided_at < now() - make_interval(days => $1) limit $3))`,
  // What is uploaded again meanwhile is touched, which the lock makes this statement see.
  orphanBlobs: `with old as materialized (select id from blobs b where b.touched_at < now() - ${ORPHAN_BLOB_AGE}
      and not exists (select from job_blobs o where o.blob_id = b.id) limit least($3, 100) for update skip locked)
    delete from blobs b using old where b.id = old.id`,
  oldBlobs: `with old as materialized (select id from blobs b where b.touched_at < now() - make_interval(days => $2)
      and not exists (select from job_blobs o join jobs j on j.id = o.job_id
        where o.blob_id = b.id and (j.finished_at is null or j.finished_at >= now() - make_interval(days => $2)))
      limit least($3, 100) for update skip locked)
    delete from blobs b using old where b.id = old.id`,
  rateMinutes: `delete from rate_bars where ctid = any (array(select b.ctid from rate_bars b
    where b.step = '1m' and b.at < now() - make_interval(days => $4) limit $3))`,
  rateHours: `delete from rate_bars where ctid = any (array(select b.ctid from rate_bars b
    where b.step = '1h' and b.at < now() - make_interval(days => $5) limit $3))`,
} as const;

export type Sweep = keyof typeof SWEEPS;
export const SWEEP_NAMES = Object.keys(SWEEPS) as Sweep[];

/** Deletes up to `limit` rows (100 blobs) that are past their time. Answers how many. */
export async function sweep(
  db: Queryable,
  name: Sweep,
  retention: Retention,
  limit: number,
): Promise<number> {
  // Not every statement needs every value, but all of them have a type.
  const { rows } = await db.query<{ count: number }>(
    `/* sweep-${name} */ with given as (select $1::integer, $2::integer, $3::integer, $4::integer, $5::integer), swept as (${SWEEPS[name]} returning 1)
     select count(*)::integer as count from swept`,
    [retention.jobDays, retention.blobDays, limit, retention.rateMinuteDays, retention.rateHourDays],
  );
  return rows[0]?.count ?? 0;
}
