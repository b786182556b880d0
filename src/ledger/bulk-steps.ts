import type { JobStatus } from '../core/job.ts';
import { type BulkFilter, type BulkOperation, MAX_BULK_JOBS } from './bulk-operations.ts';
import { type Database, type DatabaseClient, withTransaction } from './database.ts';
import { cancelJobs, retryJobs } from './jobs.ts';

/** What one step of a bulk operation did. */
export interface BulkStep {
  id: string;
  matched: number;
  changed: number;
  done: boolean;
}

/** Only jobs of these statuses can be changed: others do not count against the operation's limit. */
const OPEN_STATUSES: Record<BulkOperation['kind'], readonly JobStatus[]> = {
  cancel: ['CREATED', 'PROCESS'],
  retry: ['ERROR', 'CANCELLED'],
};

/** What `cancel_jobs` and `retry_jobs` answer for a job that they changed. */
const CHANGED: ReadonlySet<string> = new Set(['cancelled', 'requested', 'retried']);

interface RunningRow {
  id: string;
  namespace: string;
  kind: BulkOperation['kind'];
  filter: BulkFilter;
  matched: number;
  cursor: string | null;
}

/**
 * Takes the oldest bulk operation that nobody works on one step further: up to `batch` jobs, newest first. The jobs, the
 * counts and the place in the list change in one transaction, so that a crash counts nothing twice. Null when there is none.
 */
export function stepBulkOperation(db: Database, batch: number): Promise<BulkStep | null> {
  return withTransaction(db, async (client) => {
    const { rows } = await client.query<RunningRow>(
      `/* bulk-take */ select id, namespace, kind, filter, matched, cursor from bulk_operations
       where state = 'running' order by id limit 1 for update skip locked`,
    );
    const operation = rows[0];
    return operation === undefined ? null : step(client, operation, batch);
  });
}

async function step(client: DatabaseClient, operation: RunningRow, batch: number): Promise<BulkStep> {
  const limit = Math.min(batch, MAX_BULK_JOBS - operation.matched);
  const ids = await findJobs(client, operation, limit);
  const change = operation.kind === 'cancel' ? cancelJobs : retryJobs;
  const outcomes =
    ids.length > 0 ? await change(client, operation.namespace, ids) : new Map<string, string>();
  const changed = [...outcomes.values()].filter((outcome) => CHANGED.has(outcome)).length;
  const done = ids.length < limit || operation.matched + ids.length >= MAX_BULK_JOBS;
  await client.query(
    `/* bulk-step */ update bulk_operations set matched = matched + $2, changed = changed + $3, cursor = coalesce($4, cursor),
       state = case when $5 then 'done' else state end, finished_at = case when $5 then now() end where id = $1`,
    [operation.id, ids.length, changed, ids.at(-1) ?? null, done],
  );
  return { id: operation.id, matched: ids.length, changed, done };
}

/** A walk down one index for each status, so that a page costs the same however many finished jobs there are. */
async function findJobs(client: DatabaseClient, operation: RunningRow, limit: number): Promise<string[]> {
  const { filter, kind, namespace, cursor } = operation;
  const statuses = OPEN_STATUSES[kind].filter(
    (status) => filter.status === undefined || filter.status === status,
  );
  const { rows } = await client.query<{ id: string }>(
    `/* bulk-find */ select found.id from unnest($1::text[]) as s(status),
     lateral (select j.id from jobs j where j.namespace = $2 and j.status = s.status and j.id < $3
         and ($4::text is null or j.type = $4)
         and ($5::text is null or exists (select from job_labels l
           where l.namespace = $2 and l.key = $5 and l.value = $6 and l.job_id = j.id))
       order by j.id desc limit $7) found
     order by found.id desc limit $7`,
    [
      statuses,
      namespace,
      cursor ?? filter.untilId,
      filter.type ?? null,
      filter.label?.key ?? null,
      filter.label?.value ?? null,
      limit,
    ],
  );
  return rows.map((row) => row.id);
}
