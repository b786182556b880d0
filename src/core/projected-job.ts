import type { JobError } from './errors.ts';
import type { JobResource, JobStatus } from './job.ts';

/** A job as far as its QueueJob shows it: without input and result, so that thousands can be read at once. */
export interface ProjectedJob {
  id: string;
  namespace: string;
  type: string;
  status: JobStatus;
  attempt: number;
  failures: number;
  error: JobError | null;
  suspended: boolean;
  cancelRequested: boolean;
  /** The QueueJob that its user applied; null for a job whose QueueJob Longshore makes. */
  resource: JobResource | null;
  ttlSecondsAfterFinished: number;
  /** Whether a QueueJob is to show it. False also once Longshore has decided to delete that. */
  projected: boolean;
  /** Whether it holds a place in the window. */
  inWindow: boolean;
  /** Whether it was put onto its queue since it last became ready. */
  dispatched: boolean;
  /** Whether a worker holds it. */
  leased: boolean;
  runAtMs: number;
  acceptedAtMs: number;
  admittedAtMs: number | null;
  startedAtMs: number | null;
  /** Of the attempt under way or the last one. */
  attemptStartedAtMs: number | null;
  finishedAtMs: number | null;
}
