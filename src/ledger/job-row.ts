import type { JobError } from '../core/errors.ts';
import type { Job, JobBlob, JobProgress, JobStatus } from '../core/job.ts';

/** The columns of {@link JobRow}, for every query that answers jobs; `j` is the alias of `jobs`. */
export const JOB_COLUMNS = `j.id, j.namespace, j.type, j.status, j.priority, j.labels, j.input, j.timeout_seconds, j.retries,
  j.ttl_seconds, j.suspended, j.cancel_requested_at, j.webhook_url, j.resource_namespace, j.resource_name, j.resource_uid,
  j.traceparent, j.attempt, j.failures, j.interruptions, j.progress, j.error, j.result, j.run_at, j.accepted_at,
  j.admitted_at, j.queued_at, j.started_at, j.finished_at, j.version,
  (select jsonb_agg(jsonb_build_object('blobId', b.blob_id, 'role', b.role, 'name', b.name, 'mediaType', b.media_type)
    order by b.role, b.n) from job_blobs b where b.job_id = j.id) as blobs`;

export interface JobRow {
  id: string;
  namespace: string;
  type: string;
  status: JobStatus;
  priority: number;
  labels: Record<string, string> | null;
  input: unknown;
  timeout_seconds: number;
  retries: number;
  ttl_seconds: number;
  suspended: boolean;
  cancel_requested_at: Date | null;
  webhook_url: string | null;
  resource_namespace: string | null;
  resource_name: string | null;
  resource_uid: string | null;
  traceparent: string | null;
  attempt: number;
  failures: number;
  interruptions: number;
  progress: JobProgress | null;
  error: JobError | null;
  result: unknown;
  run_at: Date;
  accepted_at: Date;
  admitted_at: Date | null;
  queued_at: Date | null;
  started_at: Date | null;
  finished_at: Date | null;
  version: number;
  blobs: JobBlob[] | null;
}

export function toJob(row: JobRow): Job {
  return {
    id: row.id,
    namespace: row.namespace,
    type: row.type,
    status: row.status,
    priority: row.priority,
    labels: row.labels ?? {},
    input: row.input,
    timeoutSeconds: row.timeout_seconds,
    retries: row.retries,
    ttlSecondsAfterFinished: row.ttl_seconds,
    suspended: row.suspended,
    cancelRequested: row.cancel_requested_at !== null,
    webhook: row.webhook_url === null ? null : { url: row.webhook_url },
    resource:
      row.resource_uid === null
        ? null
        : { namespace: row.resource_namespace ?? '', name: row.resource_name ?? '', uid: row.resource_uid },
    traceparent: row.traceparent,
    attempt: row.attempt,
    failures: row.failures,
    interruptions: row.interruptions,
    progress: row.progress,
    error: row.error,
    result: row.result,
    blobs: row.blobs ?? [],
    runAtMs: row.run_at.getTime(),
    acceptedAtMs: row.accepted_at.getTime(),
    admittedAtMs: toMs(row.admitted_at),
    queuedAtMs: toMs(row.queued_at),
    startedAtMs: toMs(row.started_at),
    finishedAtMs: toMs(row.finished_at),
    version: row.version,
  };
}

function toMs(date: Date | null): number | null {
  return date === null ? null : date.getTime();
}
