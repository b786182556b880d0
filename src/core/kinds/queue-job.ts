import type { Backoff, JobWebhook } from '../job.ts';
import {
  type API_VERSION,
  GROUP,
  type ObjectMeta,
  type ResourceType,
  type StatusBase,
  VERSION,
} from './meta.ts';

export const QUEUE_JOB_KIND = 'QueueJob';

export const QUEUE_JOB: ResourceType = {
  group: GROUP,
  version: VERSION,
  plural: 'queuejobs',
  kind: QUEUE_JOB_KIND,
  namespaced: true,
};

/** The most input, as compact JSON in UTF-8, that a QueueJob may hold. The API server cannot measure it. */
export const MAX_INLINE_INPUT_BYTES = 8_192;

/** Input that stays in the ledger because it is too large for an object. */
export interface InputRef {
  /** Of the compact JSON. */
  bytes: number;
  /** Of the compact JSON, lower-case hexadecimal. */
  sha256: string;
}

/**
 * A job as its owner describes it. What is absent is the type's default and is not written into the object.
 * Nothing but `suspend` and `cancel` can change.
 */
export interface QueueJobSpec {
  type: string;
  input?: Record<string, unknown>;
  /** In the place of `input`, on objects that Longshore makes. */
  inputRef?: InputRef;
  /** −100…100, higher first. */
  priority?: number;
  /** RFC 3339; not before this time, at most a year ahead. */
  runAt?: string;
  /** Further attempts after one that failed. */
  retries?: number;
  backoff?: Backoff;
  /** How long one attempt may run. */
  timeoutSeconds?: number;
  ttlSecondsAfterFinished?: number;
  suspend?: boolean;
  /** Once true, always true. */
  cancel?: boolean;
  idempotencyKey?: string;
  webhook?: JobWebhook;
  /** Labels of the job in the ledger, by which REST finds it. */
  labels?: Record<string, string>;
}

export const QUEUE_JOB_PHASES = ['Pending', 'Queued', 'Running', 'Succeeded', 'Failed', 'Cancelled'] as const;
export type QueueJobPhase = (typeof QUEUE_JOB_PHASES)[number];

/** Whether the job of this phase has ended. */
export function isFinishedPhase(phase: QueueJobPhase | undefined): boolean {
  return phase === 'Succeeded' || phase === 'Failed' || phase === 'Cancelled';
}

/** Types of a QueueJob's conditions. */
export const QUEUE_JOB_CONDITIONS = {
  /** False: the job was refused and never runs. */
  accepted: 'Accepted',
  /** False: nothing runs it for now; reason and message say what is missing. */
  scheduled: 'Scheduled',
  /** True at any end, so that `kubectl wait --for=condition=Finished` never hangs. */
  finished: 'Finished',
} as const;

/** Reasons of a QueueJob's conditions. */
export const QUEUE_JOB_REASONS = {
  /** `Accepted=True`: the ledger has the job. */
  accepted: 'Accepted',
  /** `Accepted=True`: an earlier job with the same `idempotencyKey` is shown. */
  sameJob: 'SameJob',
  /** `Accepted=False`: the input does not fit the type's schema; the message has the field's path. */
  invalidInput: 'InvalidInput',
  inputTooLarge: 'InputTooLarge',
  /** `Accepted=False`: a field beside the input that only Longshore can judge (`runAt`, `webhook`, a limit of the type). */
  invalidSpec: 'InvalidSpec',
  /** `Accepted=False`: the key belongs to another job. */
  idempotencyKeyConflict: 'IdempotencyKeyConflict',
  /** `Accepted=True`: the spec was edited where the API server cannot see it; the job goes on as accepted. */
  specChanged: 'SpecChanged',
  /** `Scheduled=False`: no WorkerPool (or worker) serves the type; the job runs as soon as one does. */
  noWorkerPool: 'NoWorkerPool',
  backingOff: 'BackingOff',
  waitingForRunAt: 'WaitingForRunAt',
  suspended: 'Suspended',
  windowFull: 'WindowFull',
  /** `Scheduled=True`. */
  queued: 'Queued',
  running: 'Running',
  /** `Finished=True`. */
  succeeded: 'Succeeded',
  failed: 'Failed',
  cancelled: 'Cancelled',
  /** `Finished=True`, `Accepted=False`. */
  rejected: 'Rejected',
} as const;
export type QueueJobReason = (typeof QUEUE_JOB_REASONS)[keyof typeof QUEUE_JOB_REASONS];

export interface QueueJobError {
  /** Stable, CamelCase. */
  code: string;
  message: string;
}

/** Where the result is; it never goes into the object. */
export interface ResultRef {
  /** Path of the REST API, such as `/v1/jobs/<id>/result`. */
  path: string;
  mediaType?: string;
  bytes?: number;
}

/** No status means Pending. Times are `metav1.Time`: RFC 3339 with whole seconds. */
export interface QueueJobStatus extends StatusBase {
  jobId?: string;
  phase?: QueueJobPhase;
  /** Attempts that were started. */
  attempts?: number;
  /** Of the first attempt. */
  startTime?: string;
  completionTime?: string;
  /** From the start to the end, for people: `850ms`, `1m3s`. */
  duration?: string;
  error?: QueueJobError;
  resultRef?: ResultRef;
  /** One line for people. */
  message?: string;
}

export interface QueueJob {
  apiVersion: typeof API_VERSION;
  kind: typeof QUEUE_JOB_KIND;
  metadata: ObjectMeta;
  spec: QueueJobSpec;
  status?: QueueJobStatus;
}
