import { type Condition, setCondition, toKubeTime } from './conditions.ts';
import {
  JOB_SCHEDULE_CONDITIONS,
  JOB_SCHEDULE_REASONS,
  type JobSchedule,
  type JobScheduleReason,
  type JobScheduleSpec,
  type JobScheduleStatus,
} from './kinds/job-schedule.ts';
import { API_VERSION } from './kinds/meta.ts';
import type { QueueJob } from './kinds/queue-job.ts';
import { type AdoptionContext, judgeQueueJob, type Refusal } from './queue-job-adoption.ts';

/** What the ledger knows of a schedule. */
export interface ScheduleFacts {
  nextFireAtMs: number | null;
  lastFireAtMs: number | null;
  lastJobId: string | null;
  active: number;
}

/** Why a JobSchedule does not fire; reason and message are its condition's. */
export interface ScheduleRefusal {
  reason: JobScheduleReason;
  message: string;
}

/** Judges the template as a QueueJob of now would be: a schedule that can only fail says so before it fires. */
export function judgeTemplate(object: JobSchedule, context: AdoptionContext): ScheduleRefusal | null {
  const { name, namespace } = object.metadata;
  const probe: QueueJob = {
    apiVersion: API_VERSION,
    kind: 'QueueJob',
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    spec: object.spec.jobTemplate,
  };
  const judged = judgeQueueJob(probe, context);
  return 'refusal' in judged ? ofTemplate(judged.refusal) : null;
}

function ofTemplate({ reason, message }: Refusal): ScheduleRefusal {
  const { invalidInput, inputTooLarge, invalidSpec } = JOB_SCHEDULE_REASONS;
  const known = [invalidInput, inputTooLarge].find((candidate) => candidate === reason) ?? invalidSpec;
  return { reason: known, message: message.replaceAll('/spec/', '/spec/jobTemplate/') };
}

/** The status that a JobSchedule should have. */
export function jobScheduleStatus(
  object: JobSchedule,
  state: { refusal: ScheduleRefusal | null; facts: ScheduleFacts | null; nowMs: number },
): JobScheduleStatus {
  const { refusal, facts, nowMs } = state;
  const { generation } = object.metadata;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const { lastFireAtMs = null, nextFireAtMs = null, lastJobId = null } = facts ?? {};
  const ready = { type: JOB_SCHEDULE_CONDITIONS.ready, ...observed, ...readiness(object, refusal) };
  const conditions: readonly Condition[] = setCondition(object.status?.conditions ?? [], ready, nowMs);
  return {
    ...observed,
    schedule: timingText(object.spec),
    ...(lastFireAtMs === null ? {} : { lastFireTime: toKubeTime(lastFireAtMs) }),
    ...(nextFireAtMs === null ? {} : { nextFireTime: toKubeTime(nextFireAtMs) }),
    ...(lastJobId === null ? {} : { lastJobId }),
    active: facts?.active ?? 0,
    conditions: [...conditions],
  };
}

function readiness(
  { spec }: JobSchedule,
  refusal: ScheduleRefusal | null,
): Pick<Condition, 'status' | 'reason' | 'message'> {
  if (refusal !== null)
    return { status: 'False', reason: refusal.reason, message: refusal.message.slice(0, 1_024) };
  if (spec.suspend === true)
    return { status: 'False', reason: JOB_SCHEDULE_REASONS.suspended, message: 'spec.suspend is true' };
  return { status: 'True', reason: JOB_SCHEDULE_REASONS.scheduled, message: '' };
}

/** `0 6 * * 1 Europe/Berlin` or `every 10s`. */
function timingText({ cron, timeZone, every }: JobScheduleSpec): string {
  if (every !== undefined) return `every ${every}`;
  return timeZone === undefined ? (cron ?? '') : `${cron ?? ''} ${timeZone}`;
}
