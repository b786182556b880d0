import { isUuid } from './ids.ts';
import { isFinal } from './job.ts';
import { ANNOTATIONS, CANCEL_JOB_FINALIZER } from './kinds/meta.ts';
import { isFinishedPhase, type QueueJob, type QueueJobStatus } from './kinds/queue-job.ts';
import type { ProjectedJob } from './projected-job.ts';
import {
  queueJobStatus,
  RUNNING_SHOWN_AFTER_MS,
  runningForMs,
  UNSERVED_SHOWN_AFTER_MS,
} from './queue-job-status.ts';

/** What is to be done about one QueueJob. Each is safe to do twice. */
export type QueueJobAction =
  /** Judge an applied QueueJob and accept its job. */
  | { do: 'adopt' }
  /** Make the QueueJob of a job of ours (again). */
  | { do: 'create' }
  /** Put the job onto its queue. */
  | { do: 'dispatch' }
  | { do: 'cancel' }
  | { do: 'suspend'; suspended: boolean }
  /** Write finalizer and job id onto an applied QueueJob. */
  | { do: 'mark' }
  /** Note in the ledger that no QueueJob shows the job any more. */
  | { do: 'release' }
  | { do: 'delete' }
  | { do: 'removeFinalizer' }
  /** `urgent`: the end of a job or its refusal; anything else waits for its turn. */
  | { do: 'writeStatus'; status: QueueJobStatus; urgent: boolean };

export interface QueueJobPlan {
  actions: QueueJobAction[];
  /** When to look again although nothing happened. */
  againInMs?: number;
}

/** Everything that a plan depends on. */
export interface Observed {
  object: QueueJob | null;
  job: ProjectedJob | null;
  nowMs: number;
  /** The status that was written last, when the object read may be older. */
  status: QueueJobStatus | undefined;
  served: boolean;
  specChanged: boolean;
}

/** A QueueJob that was refused stays this long unless it says otherwise. */
const REFUSED_TTL_SECONDS = 3_600;
/** How often to look whether a job that was asked to end has ended, should its notification be lost. */
const ENDING_POLL_MS = 5_000;
const UNSERVED_POLL_MS = 15_000;

/** Whether Longshore made this object, as far as it says itself; the ledger has the last word. */
export function looksOurs(object: QueueJob): boolean {
  const { name, annotations } = object.metadata;
  return isUuid(name) && annotations?.[ANNOTATIONS.jobId] === name;
}

/** What is to be done about a QueueJob and its job, from what is seen of both now; never from how it came about. */
export function planQueueJob(observed: Observed): QueueJobPlan {
  const { object, job } = observed;
  if (object === null) return job === null ? { actions: [] } : planMissing(job);
  if (job === null) return planUnknown(object, observed);
  return job.resource === null ? planOurs(object, job, observed) : planApplied(object, job, observed);
}

function planMissing(job: ProjectedJob): QueueJobPlan {
  if (isFinal(job.status)) return { actions: job.projected ? [{ do: 'release' }] : [] };
  // Also a job that was admitted while there was no cluster.
  if (job.resource === null) return { actions: job.admittedAtMs === null ? [] : [{ do: 'create' }] };
  if (!job.projected) return { actions: [] };
  // Somebody took the finalizer off; deleting an applied QueueJob cancels its job all the same.
  return { actions: job.cancelRequested ? [] : [{ do: 'cancel' }], againInMs: ENDING_POLL_MS };
}

function planUnknown(object: QueueJob, { nowMs, status }: Observed): QueueJobPlan {
  if (object.metadata.deletionTimestamp !== undefined) return { actions: finalizerGone(object) };
  if (looksOurs(object)) return { actions: [{ do: 'delete' }] };
  if (!isFinishedPhase(status?.phase)) return { actions: [{ do: 'adopt' }] };
  const finishedAtMs = Date.parse(status?.completionTime ?? '') || nowMs;
  return expiry(
    object,
    finishedAtMs + (object.spec.ttlSecondsAfterFinished ?? REFUSED_TTL_SECONDS) * 1_000,
    nowMs,
  );
}

function planOurs(object: QueueJob, job: ProjectedJob, observed: Observed): QueueJobPlan {
  if (object.metadata.deletionTimestamp !== undefined) return { actions: [] };
  if (!job.projected) return { actions: [{ do: 'delete' }] };
  return planLiving(object, job, observed, { isFollower: false });
}

function planApplied(object: QueueJob, job: ProjectedJob, observed: Observed): QueueJobPlan {
  const isOwner = job.resource?.uid === object.metadata.uid;
  const finished = isFinal(job.status);
  if (object.metadata.deletionTimestamp !== undefined) {
    return isOwner ? planDeleted(object, job) : { actions: finalizerGone(object) };
  }
  if (isOwner && finished && !job.projected) return { actions: [{ do: 'delete' }] };
  const plan = planLiving(object, job, observed, { isFollower: !isOwner });
  const needsFinalizer = isOwner && !finished && !hasFinalizer(object);
  if (needsFinalizer || object.metadata.annotations?.[ANNOTATIONS.jobId] !== job.id)
    plan.actions.unshift({ do: 'mark' });
  return isOwner || !finished ? plan : withExpiry(plan, object, job, observed.nowMs);
}

/** Its user has deleted it: that cancels the job, and the object goes when the ledger says that it has ended. */
function planDeleted(object: QueueJob, job: ProjectedJob): QueueJobPlan {
  if (!isFinal(job.status))
    return { actions: job.cancelRequested ? [] : [{ do: 'cancel' }], againInMs: ENDING_POLL_MS };
  const release: QueueJobAction[] = job.projected ? [{ do: 'release' }] : [];
  return { actions: [...release, ...finalizerGone(object)] };
}

/** The ledger keeps no place for an object that merely shows another one's job, so its time is looked after here. */
function withExpiry(plan: QueueJobPlan, object: QueueJob, job: ProjectedJob, nowMs: number): QueueJobPlan {
  const sinceMs = Math.max(job.finishedAtMs ?? 0, Date.parse(object.metadata.creationTimestamp ?? '') || 0);
  const { actions, againInMs } = expiry(object, sinceMs + job.ttlSecondsAfterFinished * 1_000, nowMs);
  return { actions: [...plan.actions, ...actions], ...(againInMs === undefined ? {} : { againInMs }) };
}

/** A QueueJob that stays: its user's wishes, its queue, its status. */
function planLiving(
  object: QueueJob,
  job: ProjectedJob,
  observed: Observed,
  { isFollower }: { isFollower: boolean },
): QueueJobPlan {
  const { nowMs } = observed;
  const actions: QueueJobAction[] = [];
  const wishes = isFinal(job.status) ? [] : wishesOf(object, job, isFollower);
  actions.push(...wishes);
  if (wishes.length === 0 && isReady(job, nowMs)) actions.push({ do: 'dispatch' });
  const status = queueJobStatus(job, {
    generation: object.metadata.generation,
    before: observed.status,
    nowMs,
    served: observed.served,
    specChanged: observed.specChanged,
    isFollower,
  });
  // A wish that is carried out changes the job, and the change brings this key back.
  if (status !== null && wishes.length === 0)
    actions.push({ do: 'writeStatus', status, urgent: isFinal(job.status) });
  const againInMs = nextLook(job, observed);
  return againInMs === null ? { actions } : { actions, againInMs };
}

function wishesOf(object: QueueJob, job: ProjectedJob, isFollower: boolean): QueueJobAction[] {
  if (object.spec.cancel === true) return job.cancelRequested ? [] : [{ do: 'cancel' }];
  const suspended = object.spec.suspend ?? false;
  if (isFollower || suspended === job.suspended) return [];
  return [{ do: 'suspend', suspended }];
}

function isReady(job: ProjectedJob, nowMs: number): boolean {
  return (
    !isFinal(job.status) &&
    job.admittedAtMs !== null &&
    !job.dispatched &&
    !job.leased &&
    !job.suspended &&
    job.runAtMs <= nowMs
  );
}

/** When time alone will change what there is to say; null when it will not. */
function nextLook(job: ProjectedJob, { nowMs, served }: Observed): number | null {
  if (isFinal(job.status)) return null;
  const runningMs = runningForMs(job, nowMs);
  if (job.leased) return runningMs < RUNNING_SHOWN_AFTER_MS ? RUNNING_SHOWN_AFTER_MS - runningMs + 10 : null;
  if (served || job.dispatched || job.suspended) return null;
  const waitedMs = nowMs - Math.max(job.acceptedAtMs, job.runAtMs);
  return waitedMs < UNSERVED_SHOWN_AFTER_MS ? UNSERVED_SHOWN_AFTER_MS - waitedMs + 10 : UNSERVED_POLL_MS;
}

function expiry(object: QueueJob, atMs: number, nowMs: number): QueueJobPlan {
  if (nowMs < atMs) return { actions: [], againInMs: atMs - nowMs };
  // The finalizer goes in the next round, when the API server has marked the object as deleted.
  return { actions: object.metadata.deletionTimestamp === undefined ? [{ do: 'delete' }] : [] };
}

function hasFinalizer(object: QueueJob): boolean {
  return object.metadata.finalizers?.includes(CANCEL_JOB_FINALIZER) === true;
}

function finalizerGone(object: QueueJob): QueueJobAction[] {
  return hasFinalizer(object) ? [{ do: 'removeFinalizer' }] : [];
}
