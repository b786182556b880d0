import type { CatchUpPolicy, OverlapPolicy } from '../schedule.ts';
import {
  type API_VERSION,
  GROUP,
  type ObjectMeta,
  type ResourceType,
  type StatusBase,
  VERSION,
} from './meta.ts';
import type { QueueJobSpec } from './queue-job.ts';

export const JOB_SCHEDULE_KIND = 'JobSchedule';

export const JOB_SCHEDULE: ResourceType = {
  group: GROUP,
  version: VERSION,
  plural: 'jobschedules',
  kind: JOB_SCHEDULE_KIND,
  namespaced: true,
};

/** The job that each fire makes: what a QueueJob says, without what makes sense for one job only. */
export type JobTemplate = Pick<
  QueueJobSpec,
  | 'type'
  | 'input'
  | 'priority'
  | 'retries'
  | 'backoff'
  | 'timeoutSeconds'
  | 'ttlSecondsAfterFinished'
  | 'webhook'
  | 'labels'
>;

/** What happens with fire times that passed while nothing ran. */
export interface CatchUpSpec {
  policy: CatchUpPolicy;
  /** With `all`: the most that are made up for. */
  limit?: number;
}

/** Finished QueueJobs of the schedule that stay to be seen. */
export interface HistoryLimits {
  succeeded?: number;
  failed?: number;
}

/** Either `cron`, with an optional `timeZone`, or `every`. */
export interface JobScheduleSpec {
  /** Five fields: minute, hour, day, month, weekday. */
  cron?: string;
  /** IANA name; UTC when absent. */
  timeZone?: string;
  /** `10s`, `5m`, `2h`, `1d`; see `parseEvery`. */
  every?: string;
  /** `allow` when absent. */
  overlap?: OverlapPolicy;
  /** The last one when absent. */
  catchUp?: CatchUpSpec;
  historyLimits?: HistoryLimits;
  suspend?: boolean;
  jobTemplate: JobTemplate;
}

/** Types of a JobSchedule's conditions. */
export const JOB_SCHEDULE_CONDITIONS = {
  /** False: it does not fire; reason and message say why. */
  ready: 'Ready',
} as const;

/** Reasons of a JobSchedule's conditions. */
export const JOB_SCHEDULE_REASONS = {
  scheduled: 'Scheduled',
  suspended: 'Suspended',
  /** The cron expression or time zone cannot be used. */
  invalidSchedule: 'InvalidSchedule',
  /** The template's input does not fit the type's schema. */
  invalidInput: 'InvalidInput',
  inputTooLarge: 'InputTooLarge',
  /** A field of the template that only Longshore can judge: `webhook`, a limit of the type. */
  invalidSpec: 'InvalidSpec',
  /** No fire can be made now: nothing serves the type, so its input cannot be judged. */
  unknownType: 'UnknownType',
  /** A schedule of this name was made over REST. */
  nameTaken: 'NameTaken',
} as const;
export type JobScheduleReason = (typeof JOB_SCHEDULE_REASONS)[keyof typeof JOB_SCHEDULE_REASONS];

export interface JobScheduleStatus extends StatusBase {
  /** The timing as one text for the SCHEDULE column, such as `0 6 * * 1 Europe/Berlin` or `every 10s`. */
  schedule?: string;
  lastFireTime?: string;
  nextFireTime?: string;
  lastJobId?: string;
  /** Unfinished jobs of this schedule. */
  active?: number;
}

export interface JobSchedule {
  apiVersion: typeof API_VERSION;
  kind: typeof JOB_SCHEDULE_KIND;
  metadata: ObjectMeta;
  spec: JobScheduleSpec;
  status?: JobScheduleStatus;
}
