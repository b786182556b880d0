import type { JobEvent, JobEventType } from '../core/job.ts';
import type { Queryable } from './database.ts';

export interface EventCursor {
  jobId: string;
  /** Events with a higher number are wanted. */
  afterSeq: number;
}

interface EventRow {
  job_id: string;
  seq: number;
  type: JobEventType;
  at: Date;
  data: Record<string, unknown> | null;
}

/** New events of jobs, each job's in order, at most `limitPerJob` of each. */
export async function listEvents(
  db: Queryable,
  cursors: readonly EventCursor[],
  limitPerJob = 500,
): Promise<JobEvent[]> {
  const { rows } = await db.query<EventRow>(
    `/* events */ select e.job_id, e.seq, e.type, e.at, e.data
     from unnest($1::uuid[], $2::bigint[]) as c(job_id, after_seq)
     cross join lateral (select * from events e where e.job_id = c.job_id and e.seq > c.after_seq
       order by e.seq limit $3) e
     order by e.job_id, e.seq`,
    [cursors.map((cursor) => cursor.jobId), cursors.map((cursor) => cursor.afterSeq), limitPerJob],
  );
  return rows.map((row) => ({
    jobId: row.job_id,
    seq: row.seq,
    type: row.type,
    atMs: row.at.getTime(),
    data: row.data ?? {},
  }));
}
