import type { Queryable } from './database.ts';

/** A schedule that is to fire; locked until the transaction ends. */
export interface DueSchedule {
  namespace: string;
  name: string;
  spec: unknown;
  /** The first fire time that has not been dealt with. */
  nextFireAtMs: number;
  lastJobId: string | null;
  /** Whether the job of the last fire goes on. */
  lastJobUnfinished: boolean;
}

/** Names of schedules that are due, the one that waits longest first. */
export async function listDueSchedules(
  db: Queryable,
  nowMs: number,
  limit: number,
): Promise<{ namespace: string; name: string }[]> {
  const { rows } = await db.query<{ namespace: string; name: string }>(
    `/* schedules-due */ select namespace, name from schedules where next_fire_at <= $1 order by next_fire_at limit $2`,
    [new Date(nowMs), limit],
  );
  return rows;
}

/** Locks a schedule that is due; null when it is not any more, or somebody else deals with it. */
export async function lockDueSchedule(
  db: Queryable,
  key: { namespace: string; name: string },
  nowMs: number,
): Promise<DueSchedule | null> {
  const { rows } = await db.query<{
    spec: unknown;
    next_fire_at: Date;
    last_job_id: string | null;
    unfinished: boolean;
  }>(
    `/* schedule-lock */ select s.spec, s.next_fire_at, s.last_job_id,
       exists (select from jobs j where j.id = s.last_job_id and j.finished_at is null) as unfinished
     from schedules s where s.namespace = $1 and s.name = $2 and s.next_fire_at <= $3 for update of s skip locked`,
    [key.namespace, key.name, new Date(nowMs)],
  );
  const row = rows[0];
  if (row === undefined) return null;
  return {
    ...key,
    spec: row.spec,
    nextFireAtMs: row.next_fire_at.getTime(),
    lastJobId: row.last_job_id,
    lastJobUnfinished: row.unfinished,
  };
}

/** What became of one fire time. */
export interface Fire {
  fireAtMs: number;
  /** `skipped`: an earlier job went on, or a newer fire took its place; `failed`: no job could be made of the template. */
  outcome: 'fired' | 'skipped' | 'failed';
  jobId: string | null;
  detail: string | null;
}

/** Writes down what became of fire times and when the schedule fires next (null: never). */
export async function recordFires(
  db: Queryable,
  key: { namespace: string; name: string },
  fires: readonly Fire[],
  nextFireAtMs: number | null,
): Promise<void> {
  await db.query(
    `/* schedule-fires-new */ insert into schedule_fires (namespace, name, fire_at, outcome, job_id, detail)
     select $1, $2, f.at, f.outcome, f.job_id, f.detail
     from unnest($3::timestamptz[], $4::text[], $5::uuid[], $6::text[]) as f(at, outcome, job_id, detail)
     on conflict (namespace, name, fire_at) do nothing`,
    [
      key.namespace,
      key.name,
      fires.map((fire) => new Date(fire.fireAtMs)),
      fires.map((fire) => fire.outcome),
      fires.map((fire) => fire.jobId),
      fires.map((fire) => fire.detail),
    ],
  );
  const last = fires.findLast((fire) => fire.outcome === 'fired');
  await db.query(
    `/* schedule-next */ update schedules set next_fire_at = $3, last_fire_at = coalesce($4, last_fire_at),
       last_job_id = coalesce($5, last_job_id) where namespace = $1 and name = $2`,
    [
      key.namespace,
      key.name,
      nextFireAtMs === null ? null : new Date(nextFireAtMs),
      last === undefined ? null : new Date(last.fireAtMs),
      last?.jobId ?? null,
    ],
  );
}

/** What became of a schedule's latest fire times, newest first. */
export async function listFires(
  db: Queryable,
  namespace: string,
  name: string,
  limit: number,
): Promise<Fire[]> {
  const { rows } = await db.query<{
    fire_at: Date;
    outcome: Fire['outcome'];
    job_id: string | null;
    detail: string | null;
  }>(
    `/* schedule-fires */ select fire_at, outcome, job_id, detail from schedule_fires
     where namespace = $1 and name = $2 order by fire_at desc limit $3`,
    [namespace, name, limit],
  );
  return rows.map((row) => ({
    fireAtMs: row.fire_at.getTime(),
    outcome: row.outcome,
    jobId: row.job_id,
    detail: row.detail,
  }));
}
