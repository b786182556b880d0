import { uuidv7 } from '../core/ids.ts';
import type { ReadingBatch } from '../core/reading-ranges.ts';
import type { Queryable } from './database.ts';
import { retrySerialization } from './serialization.ts';

/** Readings that one job judges, before the job is accepted. */
export interface ReadingRange {
  id: string;
  namespace: string;
  readings: number;
  /** The id that its job has or will have: accepting the job twice makes one. */
  jobId: string;
  /** Jobs that it had, this one counted. */
  tries: number;
  traceparent: string | null;
}

/** Batches that no range has, the oldest first. */
export async function listWaitingBatches(db: Queryable, limit: number): Promise<ReadingBatch[]> {
  const { rows } = await db.query<ReadingBatch>(
    `/* reading-batches */ select id, namespace, readings,
       (extract(epoch from now() - stored_at) * 1000)::double precision as "ageMs"
     from meter_reading_batches order by id limit $1`,
    [limit],
  );
  return rows;
}

/**
 * Makes a range of batches and gives it the id of its job. What another has taken meanwhile is left out, so a reading is
 * in one range whoever leads. Answers how many readings are in it.
 */
export async function cutRange(
  db: Queryable,
  namespace: string,
  batches: readonly string[],
): Promise<number> {
  const { rows } = await retrySerialization(() =>
    db.query<{ readings: number }>(
      `/* cut-range */ with taken as (
         delete from meter_reading_batches where id = any ($1) and namespace = $2
         returning id, readings, first_day, last_day, traceparent
       )
       insert into meter_reading_ranges (id, namespace, batches, readings, first_day, last_day, traceparent, job_id)
       select $3, $2, array_agg(id order by id), sum(readings), min(first_day), max(last_day), max(traceparent), $4
       from taken having count(*) > 0
       returning readings`,
      [batches, namespace, uuidv7(), uuidv7()],
    ),
  );
  return rows[0]?.readings ?? 0;
}

/** Ranges whose job may not have been accepted yet, the oldest first. */
export async function listUnacceptedRanges(db: Queryable, limit: number): Promise<ReadingRange[]> {
  const { rows } = await db.query<ReadingRange>(
    `/* unaccepted-ranges */ select id, namespace, readings, job_id as "jobId", tries, traceparent
     from meter_reading_ranges where judged_at is null and accepted_at is null order by id limit $1`,
    [limit],
  );
  return rows;
}

/** Notes that the jobs of ranges are accepted: unless a range has another job by now. */
export async function markRangesAccepted(db: Queryable, ranges: readonly ReadingRange[]): Promise<void> {
  await retrySerialization(() =>
    db.query(
      `/* ranges-accepted */ update meter_reading_ranges r set accepted_at = now()
       from unnest($1::uuid[], $2::uuid[]) as s(id, job_id) where r.id = s.id and r.job_id = s.job_id`,
      [ranges.map(({ id }) => id), ranges.map(({ jobId }) => jobId)],
    ),
  );
}

/**
 * Gives a new job to ranges whose job has ended, or is not there any more, without having judged them: it failed for
 * good, was cancelled, or was deleted. Answers how many.
 */
export async function reopenRanges(db: Queryable, limit: number): Promise<number> {
  const { rows } = await db.query<{ id: string; jobId: string }>(
    `/* ended-ranges */ select r.id, r.job_id as "jobId" from meter_reading_ranges r
       left join jobs j on j.id = r.job_id
     where r.judged_at is null and r.accepted_at < now() - interval '5 seconds' and (j.id is null or j.finished_at is not null)
     order by r.id limit $1`,
    [limit],
  );
  if (rows.length === 0) return 0;
  const { rowCount } = await retrySerialization(() =>
    db.query(
      `/* reopen-ranges */ update meter_reading_ranges r set job_id = s.new_id, accepted_at = null, tries = r.tries + 1
       from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as s(id, job_id, new_id)
       where r.id = s.id and r.job_id = s.job_id and r.judged_at is null`,
      [rows.map(({ id }) => id), rows.map(({ jobId }) => jobId), rows.map(() => uuidv7())],
    ),
  );
  return rowCount ?? 0;
}

/** Readings that are durable and not judged, and how long the oldest of them has waited. */
export async function countUnjudged(db: Queryable): Promise<{ readings: number; oldestSeconds: number }> {
  const { rows } = await db.query<{ readings: number; oldestSeconds: number }>(
    `/* unjudged-readings */ select coalesce(sum(readings), 0)::bigint as readings,
       coalesce(extract(epoch from now() - min(since)), 0)::double precision as "oldestSeconds"
     from (select readings, stored_at as since from meter_reading_batches
       union all select readings, cut_at from meter_reading_ranges where judged_at is null) w`,
  );
  return rows[0] ?? { readings: 0, oldestSeconds: 0 };
}

/** Deletes up to `limit` each of keys that are over and of ranges judged a week ago. Answers how many. */
export async function sweepReadingLeftovers(db: Queryable, limit: number): Promise<number> {
  const keys = await retrySerialization(() =>
    db.query(
      `/* sweep-reading-keys */ delete from meter_reading_keys where (namespace, key) in
         (select namespace, key from meter_reading_keys where expires_at < now() order by expires_at limit $1)`,
      [limit],
    ),
  );
  const ranges = await retrySerialization(() =>
    db.query(
      `/* sweep-ranges */ delete from meter_reading_ranges where id in
         (select id from meter_reading_ranges where judged_at < now() - interval '7 days' order by judged_at limit $1)`,
      [limit],
    ),
  );
  return (keys.rowCount ?? 0) + (ranges.rowCount ?? 0);
}

/** Makes the months' partitions from last month to the one after next, where readings are partitioned. Answers how many were missing. */
export async function ensureReadingMonths(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ there: boolean }>(
    `/* reading-months */ select to_regprocedure('longshore.ensure_reading_months(date, date)') is not null as there`,
  );
  if (rows[0]?.there !== true) return 0;
  const made = await db.query<{ made: number }>(
    `/* reading-months */ select ensure_reading_months((now() - interval '1 month')::date, (now() + interval '2 months')::date) as made`,
  );
  return made.rows[0]?.made ?? 0;
}
