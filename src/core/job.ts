import type { JobError } from './errors.ts';

/** What a client sees. Between two attempts a job stays in PROCESS. */
export const JOB_STATUSES = ['CREATED', 'PROCESS', 'SUCCESS', 'ERROR', 'CANCELLED'] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

/** Whether nothing but `:retry` changes a job of this status any more. */
export function isFinal(status: JobStatus): boolean {
  return status === 'SUCCESS' || status === 'ERROR' || status === 'CANCELLED';
}

export const MIN_PRIORITY = -100;
export const MAX_PRIORITY = 100;

/** A `runAt` may lie this far ahead at most. */
export const MAX_RUN_AT_AHEAD_MS = 366 * 24 * 3_600_000;

/** An applied QueueJob: its name is its user's, its `uid` is what identifies it. */
export interface JobResource {
  namespace: string;
  name: string;
  uid: string;
}

/** One signed POST at the end of the job. */
export interface JobWebhook {
  url: string;
}

/** A blob that a job owns: what was uploaded for it, or what it produced. */
export interface JobBlob {
  blobId: string;
  role: 'input' | 'result';
  /** File name for the client; data only, never a path. */
  name: string;
  mediaType: string;
}

/** How the time between attempts grows: `min(maxMs, baseMs × 2^(failures − 1))`, half of it random. */
export interface Backoff {
  baseMs: number;
  maxMs: number;
}

/** A job as its owner described it; the ledger adds everything else. */
export interface NewJob {
  id: string;
  namespace: string;
  type: string;
  input: unknown;
  priority: number;
  /** Milliseconds since the epoch; a past one means now. */
  runAtMs: number | null;
  timeoutSeconds: number;
  /** Further attempts after a failed one. */
  retries: number;
  backoff: Backoff;
  labels: Record<string, string>;
  ttlSecondsAfterFinished: number;
  suspended: boolean;
  webhook: JobWebhook | null;
  traceparent: string | null;
  resource: JobResource | null;
  /** Blobs that this job owns from its acceptance on. */
  blobs: JobBlob[];
  /** Makes this job the same as an earlier one with an equal key. */
  uniqueKey: UniqueKey | null;
}

/**
 * A key that is unique within (namespace, scope) for a while. `idempotency` answers the first job whatever became of
 * it; `contract` lets a new job take the place of one that failed.
 */
export interface UniqueKey {
  scope: 'idempotency' | 'contract' | 'resource' | 'fire';
  key: string;
  /** SHA-256 of what the key stands for, in hex; another one under the same key is a conflict. */
  bodySha256: string;
  ttlSeconds: number;
}

export interface JobProgress {
  /** 0…1. */
  fraction: number;
  message: string;
}

/** A job as the ledger holds it; times are milliseconds since the epoch. */
export interface Job {
  id: string;
  namespace: string;
  type: string;
  status: JobStatus;
  priority: number;
  labels: Record<string, string>;
  input: unknown;
  timeoutSeconds: number;
  retries: number;
  ttlSecondsAfterFinished: number;
  suspended: boolean;
  cancelRequested: boolean;
  webhook: JobWebhook | null;
  resource: JobResource | null;
  traceparent: string | null;
  /** The current attempt, from 1. */
  attempt: number;
  /** Attempts that failed and were charged to the allowance. */
  failures: number;
  interruptions: number;
  progress: JobProgress | null;
  error: JobError | null;
  /** The JSON result of a SUCCESS; blobs are listed in `blobs`. */
  result: unknown;
  blobs: JobBlob[];
  runAtMs: number;
  acceptedAtMs: number;
  admittedAtMs: number | null;
  queuedAtMs: number | null;
  startedAtMs: number | null;
  finishedAtMs: number | null;
  /** Grows with each change that a client can see; equals the number of the job's newest event. */
  version: number;
}

/** The events of a job, in order; `seq` is the job's version after it. */
export const JOB_EVENT_TYPES = [
  'accepted',
  'started',
  'progress',
  'retrying',
  'interrupted',
  'succeeded',
  'failed',
  'cancelled',
  'cancelling',
  'retried',
  'suspended',
  'resumed',
] as const;
export type JobEventType = (typeof JOB_EVENT_TYPES)[number];

export interface JobEvent {
  jobId: string;
  seq: number;
  type: JobEventType;
  atMs: number;
  data: Record<string, unknown>;
}
