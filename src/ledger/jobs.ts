import type { Job, JobStatus } from '../core/job.ts';
import type { Queryable } from './database.ts';
import { JOB_COLUMNS, type JobRow, toJob } from './job-row.ts';

/** One job of a namespace, or null. Another namespace's job is null too. */
export async function getJob(db: Queryable, namespace: string, id: string): Promise<Job | null> {
  const { rows } = await db.query<JobRow>(
    `/* job */ select ${JOB_COLUMNS} from jobs j where j.id = $1 and j.namespace || '' = $2`,
    [id, namespace],
  );
  return rows[0] === undefined ? null : toJob(rows[0]);
}

/** Jobs by id, in no order; ids that are not there are left out. For the controller, which serves every namespace. */
export async function getJobs(db: Queryable, ids: readonly string[]): Promise<Job[]> {
  const { rows } = await db.query<JobRow>(
    `/* jobs */ select ${JOB_COLUMNS} from jobs j where j.id = any ($1)`,
    [ids],
  );
  return rows.map(toJob);
}

export interface JobFilter {
  namespace: string;
  type?: string;
  status?: JobStatus;
  /** One label that the jobs carry. */
  label?: { key: string; value: string };
  /** An applied QueueJob, by name. */
  resource?: { namespace: string; name: string };
  /** Bounds of the acceptance as ids (see `uuidv7Floor`): from inclusive, until exclusive. */
  fromId?: string;
  untilId?: string;
}

/** One page of jobs, newest first: those with an id below `beforeId`. */
export async function listJobs(
  db: Queryable,
  filter: JobFilter,
  page: { limit: number; beforeId: string | null },
): Promise<Job[]> {
  const values: unknown[] = [];
  const value = (v: unknown) => `$${values.push(v)}`;
  const where = conditions(filter, page.beforeId, value);
  const labelled =
    filter.label === undefined
      ? ''
      : `join job_labels l on l.job_id = j.id and l.namespace = j.namespace
         and l.key = ${value(filter.label.key)} and l.value = ${value(filter.label.value)}`;
  const order = filter.label === undefined ? 'j.id' : 'l.job_id';
  const { rows } = await db.query<JobRow>(
    `/* jobs-page */ select ${JOB_COLUMNS} from jobs j ${labelled}
     where ${where.join(' and ')} order by ${order} desc limit ${value(page.limit)}`,
    values,
  );
  return rows.map(toJob);
}

function conditions(filter: JobFilter, beforeId: string | null, value: (v: unknown) => string): string[] {
  const id = filter.label === undefined ? 'j.id' : 'l.job_id';
  const where = [`j.namespace = ${value(filter.namespace)}`];
  if (filter.type !== undefined) where.push(`j.type = ${value(filter.type)}`);
  if (filter.status !== undefined) where.push(`j.status = ${value(filter.status)}`);
  if (filter.resource !== undefined) {
    where.push(`j.resource_namespace = ${value(filter.resource.namespace)}`);
    where.push(`j.resource_name = ${value(filter.resource.name)}`);
  }
  if (filter.fromId !== undefined) where.push(`${id} >= ${value(filter.fromId)}`);
  if (filter.untilId !== undefined) where.push(`${id} < ${value(filter.untilId)}`);
  if (beforeId !== null) where.push(`${id} < ${value(beforeId)}`);
  return where;
}

/** What became of one job of a request to cancel or to retry. */
export type CancelOutcome = 'missing' | 'finished' | 'cancelled' | 'requested';
export type RetryOutcome = 'missing' | 'succeeded' | 'unfinished' | 'retried';

/** Cancels: a waiting job at once, a running one by its worker's next renewal (`requested`). */
export function cancelJobs(
  db: Queryable,
  namespace: string,
  ids: readonly string[],
): Promise<Map<string, CancelOutcome>> {
  return transition(db, '/* cancel */ select job_id, outcome from cancel_jobs($1, $2)', namespace, ids);
}

/** Opens a further attempt with a fresh allowance of jobs that failed or were cancelled. Two at once make one attempt. */
export function retryJobs(
  db: Queryable,
  namespace: string,
  ids: readonly string[],
): Promise<Map<string, RetryOutcome>> {
  return transition(db, '/* retry */ select job_id, outcome from retry_jobs($1, $2)', namespace, ids);
}

async function transition<Outcome>(
  db: Queryable,
  sql: string,
  namespace: string,
  ids: readonly string[],
): Promise<Map<string, Outcome>> {
  const { rows } = await db.query<{ job_id: string; outcome: Outcome }>(sql, [namespace, ids]);
  return new Map(rows.map((row) => [row.job_id, row.outcome]));
}

/** Holds a waiting job back, or lets it go on; false when it is finished or stands so already. */
export async function suspendJob(db: Queryable, id: string, suspended: boolean): Promise<boolean> {
  const { rows } = await db.query('/* suspend */ select suspend_job($1, $2) as changed', [id, suspended]);
  return rows[0]?.changed === true;
}
