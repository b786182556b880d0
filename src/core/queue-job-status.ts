import { isDeepStrictEqual } from 'node:util';
import { type Condition, type ConditionUpdate, toKubeTime } from './conditions.ts';
import { isFinal } from './job.ts';
import {
  QUEUE_JOB_CONDITIONS,
  QUEUE_JOB_REASONS,
  type QueueJobPhase,
  type QueueJobReason,
  type QueueJobStatus,
} from './kinds/queue-job.ts';
import type { ProjectedJob } from './projected-job.ts';

/** A job that runs this long is shown as Running: most end before, and cost one status write alone. */
export const RUNNING_SHOWN_AFTER_MS = 5_000;
/** A type may be without workers this long before its jobs say so: a pool needs a moment to come up. */
export const UNSERVED_SHOWN_AFTER_MS = 10_000;

const MAX_MESSAGE = 1_024;

/** What beside the job itself its status depends on. */
export interface StatusContext {
  generation: number | undefined;
  /** The status that the object has, or that was written last. */
  before: QueueJobStatus | undefined;
  nowMs: number;
  /** Whether workers for its type are there. */
  served: boolean;
  /** Whether the spec was edited after acceptance, where the API server could not refuse it. */
  specChanged: boolean;
  /** Whether the object shows an earlier job with the same idempotency key. */
  isFollower: boolean;
}

/**
 * The status that a QueueJob should have; null while none needs to be written: no status means Pending. Times come from the
 * ledger, so that the same job always makes the same status, whoever computes it.
 */
export function queueJobStatus(job: ProjectedJob, context: StatusContext): QueueJobStatus | null {
  if (!isFinal(job.status) && !needsWord(job, context)) return null;
  const { generation, before } = context;
  const phase = phaseOf(job);
  const start = job.startedAtMs;
  const end = job.finishedAtMs;
  const error = job.error !== null && (phase === 'Failed' || !isFinal(job.status)) ? job.error : null;
  const conditions = conditionsOf(job, context).map(({ update, sinceMs }) =>
    withTime(
      generation === undefined ? update : { ...update, observedGeneration: generation },
      before?.conditions ?? [],
      sinceMs,
    ),
  );
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    jobId: job.id,
    phase,
    attempts: attemptsOf(job),
    ...(start === null ? {} : { startTime: toKubeTime(start) }),
    ...(end === null ? {} : { completionTime: toKubeTime(end) }),
    ...(end === null || start === null ? {} : { duration: toDuration(end - start) }),
    ...(error === null ? {} : { error: { code: error.code, message: error.message.slice(0, MAX_MESSAGE) } }),
    ...(phase === 'Succeeded' ? { resultRef: { path: `/v1/jobs/${job.id}/result` } } : {}),
    conditions,
  };
}

/** The status of a QueueJob that was refused: Finished too, so that nobody waits for it for ever. */
export function refusedStatus(
  refusal: { reason: QueueJobReason; message: string },
  context: { generation: number | undefined; before: QueueJobStatus | undefined; nowMs: number },
): QueueJobStatus {
  const { generation, before, nowMs } = context;
  const message = refusal.message.slice(0, MAX_MESSAGE);
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const { accepted, finished } = QUEUE_JOB_CONDITIONS;
  const updates: ConditionUpdate[] = [
    { type: accepted, status: 'False', reason: refusal.reason, message, ...observed },
    { type: finished, status: 'True', reason: QUEUE_JOB_REASONS.rejected, message, ...observed },
  ];
  return {
    ...observed,
    phase: 'Failed',
    attempts: 0,
    completionTime: before?.completionTime ?? toKubeTime(nowMs),
    error: { code: refusal.reason, message },
    conditions: updates.map((update) => withTime(update, before?.conditions ?? [], nowMs)),
  };
}

/** The merge patch that turns one status into another; null when they are equal. */
export function statusPatch(
  before: QueueJobStatus | undefined,
  after: QueueJobStatus,
): Record<string, unknown> | null {
  if (isDeepStrictEqual(before, after)) return null;
  const gone = Object.keys(before ?? {}).filter((key) => !(key in after));
  return { ...Object.fromEntries(gone.map((key) => [key, null])), ...after };
}

/** Whether an unfinished job has something to tell a person. */
function needsWord(job: ProjectedJob, context: StatusContext): boolean {
  if (context.before?.phase !== undefined || context.specChanged || context.isFollower) return true;
  if (job.suspended || job.failures > 0) return true;
  if (runningForMs(job, context.nowMs) >= RUNNING_SHOWN_AFTER_MS) return true;
  return isUnserved(job, context);
}

export function runningForMs(job: ProjectedJob, nowMs: number): number {
  return job.leased && job.attemptStartedAtMs !== null ? nowMs - job.attemptStartedAtMs : 0;
}

function isUnserved(job: ProjectedJob, { served, nowMs }: StatusContext): boolean {
  if (served || job.leased || job.dispatched) return false;
  return nowMs - Math.max(job.acceptedAtMs, job.runAtMs) >= UNSERVED_SHOWN_AFTER_MS;
}

function phaseOf(job: ProjectedJob): QueueJobPhase {
  if (job.status === 'SUCCESS') return 'Succeeded';
  if (job.status === 'ERROR') return 'Failed';
  if (job.status === 'CANCELLED') return 'Cancelled';
  if (job.leased) return 'Running';
  return job.dispatched ? 'Queued' : 'Pending';
}

function attemptsOf(job: ProjectedJob): number {
  if (job.startedAtMs === null) return 0;
  return Math.max(1, job.leased || isFinal(job.status) ? job.attempt : job.attempt - 1);
}

interface Claim {
  update: ConditionUpdate;
  sinceMs: number;
}

function conditionsOf(job: ProjectedJob, context: StatusContext): Claim[] {
  const { accepted, finished } = QUEUE_JOB_CONDITIONS;
  const claims: Claim[] = [
    { update: { type: accepted, status: 'True', ...acceptance(context) }, sinceMs: job.acceptedAtMs },
  ];
  if (!isFinal(job.status)) {
    claims.push({ update: scheduling(job, context), sinceMs: context.nowMs });
    const update: ConditionUpdate = { type: finished, status: 'False', reason: 'Unfinished', message: '' };
    // Said only where it was True before: a job that was retried.
    if (context.before?.conditions?.some((c) => c.type === finished) === true)
      claims.push({ update, sinceMs: context.nowMs });
    return claims;
  }
  const reason = phaseOf(job) as 'Succeeded' | 'Failed' | 'Cancelled';
  const message = reason === 'Failed' && job.error !== null ? job.error.message.slice(0, MAX_MESSAGE) : '';
  claims.push({
    update: { type: finished, status: 'True', reason, message },
    sinceMs: job.finishedAtMs ?? context.nowMs,
  });
  return claims;
}

function acceptance(context: StatusContext): { reason: string; message: string } {
  if (context.specChanged) {
    const message = 'The spec was edited after its acceptance; the job goes on as it was accepted';
    return { reason: QUEUE_JOB_REASONS.specChanged, message };
  }
  if (context.isFollower) {
    const message = 'An earlier job has the same idempotencyKey: this is its state, and nothing runs again';
    return { reason: QUEUE_JOB_REASONS.sameJob, message };
  }
  return { reason: QUEUE_JOB_REASONS.accepted, message: '' };
}

function scheduling(job: ProjectedJob, context: StatusContext): ConditionUpdate {
  const { scheduled } = QUEUE_JOB_CONDITIONS;
  const no = (reason: string, message: string): ConditionUpdate => ({
    type: scheduled,
    status: 'False',
    reason,
    message,
  });
  if (job.leased) return { type: scheduled, status: 'True', reason: QUEUE_JOB_REASONS.running, message: '' };
  if (job.suspended) return no(QUEUE_JOB_REASONS.suspended, 'spec.suspend is true');
  if (job.runAtMs > context.nowMs && job.failures > 0) {
    const at = toKubeTime(job.runAtMs);
    return no(QUEUE_JOB_REASONS.backingOff, `Attempt ${job.attempt} starts at ${at} at the earliest`);
  }
  if (job.runAtMs > context.nowMs)
    return no(QUEUE_JOB_REASONS.waitingForRunAt, `Starts at ${toKubeTime(job.runAtMs)} at the earliest`);
  if (job.dispatched)
    return { type: scheduled, status: 'True', reason: QUEUE_JOB_REASONS.queued, message: '' };
  if (!context.served)
    return no(
      QUEUE_JOB_REASONS.noWorkerPool,
      `No WorkerPool of namespace ${job.namespace} serves ${job.type}`,
    );
  return no(QUEUE_JOB_REASONS.windowFull, 'Waits for a place in the window');
}

/** A condition with the time of its last change of status, which is what was before where nothing changed. */
function withTime(update: ConditionUpdate, before: readonly Condition[], sinceMs: number): Condition {
  const known = before.find((condition) => condition.type === update.type);
  const lastTransitionTime = known?.status === update.status ? known.lastTransitionTime : toKubeTime(sinceMs);
  return { ...update, lastTransitionTime };
}

/** For people: `850ms`, `12.3s`, `1m3s`, `2h5m`. */
export function toDuration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))}ms`;
  if (ms < 60_000) return `${(Math.floor(ms / 100) / 10).toString()}s`;
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
  return `${Math.floor(seconds / 3_600)}h${Math.floor((seconds % 3_600) / 60)}m`;
}
