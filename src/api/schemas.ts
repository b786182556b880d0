import { z } from 'zod';
import { isUuid } from '../core/ids.ts';
import { JOB_STATUSES, MAX_PRIORITY, MIN_PRIORITY } from '../core/job.ts';
import { isJobTypeName } from '../core/job-type.ts';
import { CATCH_UP_POLICIES, MAX_CATCH_UP, OVERLAP_POLICIES, parseEvery } from '../core/schedule.ts';

/** The shapes of REST. Strict: what is not known here is a mistake. The OpenAPI document is made from them. */

const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const MAX_LABELS = 32;
const MAX_YEAR_SECONDS = 365 * 24 * 3_600;

export const jobTypeName = z
  .string()
  .max(63)
  .refine(isJobTypeName, { error: 'must be lower-case letters, digits and "-"' });

export const labels = z
  .record(
    z.string().regex(LABEL_KEY, { error: 'is no label name' }),
    z.string().regex(LABEL_VALUE, { error: 'must be at most 63 letters, digits, "-", "_" and "."' }),
  )
  .refine((value) => Object.keys(value).length <= MAX_LABELS, { error: `at most ${MAX_LABELS} labels` })
  .meta({ id: 'Labels' });

/** What a job may ask for beside its type and input; a schedule's template takes the same. */
const jobOptions = {
  priority: z
    .int()
    .min(MIN_PRIORITY)
    .max(MAX_PRIORITY)
    .optional()
    .describe('Higher runs first; 0 unless told'),
  timeoutSeconds: z.int().min(1).max(86_400).optional().describe('How long one attempt may run'),
  retries: z.int().min(0).max(100).optional().describe('Further attempts after one that failed'),
  labels: labels.optional(),
  ttlSecondsAfterFinished: z
    .int()
    .min(0)
    .max(MAX_YEAR_SECONDS)
    .optional()
    .describe('How long its QueueJob stays after the end'),
  webhook: z.strictObject({ url: z.string().min(1).max(2_048) }).optional(),
};

export const jobTemplate = z
  .strictObject({ type: jobTypeName, input: z.unknown(), ...jobOptions })
  .meta({ id: 'JobTemplate' });

export const jobRequest = z
  .strictObject({
    type: jobTypeName,
    input: z.unknown().describe('Whatever the schema of the type asks for'),
    runAt: z.iso
      .datetime({
        offset: true,
        error: 'must be a time of ISO 8601 with its offset, such as 2030-01-31T12:00:00Z',
      })
      .optional()
      .describe('Not before this time, at most a year ahead; a past time means now'),
    ...jobOptions,
  })
  .meta({ id: 'JobRequest' });

export type JobRequest = z.output<typeof jobRequest>;

export const MAX_BATCH_JOBS = 1_000;

export const batchRequest = z
  .strictObject({ jobs: z.array(z.unknown()).min(1).max(MAX_BATCH_JOBS) })
  .meta({ id: 'BatchRequest' });

const time = z.iso.datetime().nullable();

export const jobSchema = z
  .object({
    id: z.uuid(),
    type: z.string(),
    status: z.enum(JOB_STATUSES),
    priority: z.int(),
    labels: z.record(z.string(), z.string()),
    input: z.unknown(),
    timeoutSeconds: z.int(),
    retries: z.int(),
    ttlSecondsAfterFinished: z.int(),
    suspended: z.boolean(),
    cancelRequested: z.boolean(),
    webhook: z.object({ url: z.string() }).nullable(),
    resource: z.object({ namespace: z.string(), name: z.string() }).nullable(),
    attempt: z.int(),
    failures: z.int(),
    progress: z.object({ fraction: z.number(), message: z.string() }).nullable(),
    error: z.object({ code: z.string(), message: z.string(), retryable: z.boolean() }).nullable(),
    createdAt: z.iso.datetime(),
    runAt: time.describe('Set while the job waits for a time: its run-at, or the end of a back-off'),
    admittedAt: time,
    queuedAt: time,
    startedAt: time,
    finishedAt: time,
    version: z.int(),
    links: z.object({ self: z.string(), events: z.string(), result: z.string().nullable() }),
  })
  .meta({ id: 'Job' });

export const jobPage = z
  .object({ jobs: z.array(jobSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'JobPage' });

const labelPair = z
  .string()
  .refine((text) => {
    const [key = '', value = '', ...rest] = text.split('=');
    return rest.length === 0 && text.includes('=') && LABEL_KEY.test(key) && LABEL_VALUE.test(value);
  }, 'must be name=value')
  .transform((text) => {
    const [key = '', value = ''] = text.split('=');
    return { key, value };
  });

const resourceName = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/, {
    error: 'must be namespace/name',
  })
  .transform((text) => {
    const [namespace = '', name = ''] = text.split('/');
    return { namespace, name };
  });

export const DEFAULT_PAGE_LIMIT = 50;
export const MAX_PAGE_LIMIT = 500;

export const limit = z
  .string()
  .regex(/^[1-9]\d{0,2}$/, { error: `must be a number from 1 to ${MAX_PAGE_LIMIT}` })
  .transform(Number)
  .refine((value) => value <= MAX_PAGE_LIMIT, { error: `must be a number from 1 to ${MAX_PAGE_LIMIT}` })
  .optional();

export const cursor = z.string().max(512).optional();

export const jobListQuery = z.strictObject({
  type: jobTypeName.optional(),
  status: z.enum(JOB_STATUSES).optional(),
  label: labelPair.optional(),
  resource: resourceName.optional(),
  limit,
  cursor,
});

/** Which jobs a bulk operation takes: all that fit every condition given; at least one condition. */
export const bulkRequest = z
  .strictObject({
    type: jobTypeName.optional(),
    status: z.enum(JOB_STATUSES).optional(),
    label: labelPair.optional().describe('name=value'),
  })
  .refine((filter) => Object.values(filter).some((value) => value !== undefined), {
    error: 'at least one of type, status and label is needed',
  })
  .meta({ id: 'BulkFilter' });

export const noQuery = z.strictObject({});

export const uuid = z.string().refine(isUuid);

export const scheduleRequest = z
  .strictObject({
    cron: z.string().min(1).max(200).optional().describe('Five fields: minute, hour, day, month, weekday'),
    timeZone: z.string().min(1).max(64).optional().describe('IANA time zone of cron; UTC unless told'),
    every: z
      .string()
      .refine((text) => parseEvery(text) !== null, { error: 'must be like 10s, 5m, 2h or 1d, at most 31d' })
      .optional()
      .describe('A period instead of cron: 10s, 5m, 2h, 1d'),
    overlap: z
      .enum(OVERLAP_POLICIES)
      .default('allow')
      .describe('While the job of an earlier fire is unfinished'),
    catchUp: z
      .strictObject({
        policy: z.enum(CATCH_UP_POLICIES).default('last'),
        limit: z.int().min(1).max(MAX_CATCH_UP).default(10),
      })
      .default({ policy: 'last', limit: 10 })
      .describe('Fire times that passed while nothing ran'),
    suspend: z.boolean().default(false),
    job: jobTemplate,
  })
  .refine((schedule) => (schedule.cron === undefined) !== (schedule.every === undefined), {
    error: 'either cron or every is needed',
  })
  .refine((schedule) => schedule.timeZone === undefined || schedule.cron !== undefined, {
    error: 'is for cron only',
    path: ['timeZone'],
  })
  .meta({ id: 'ScheduleRequest' });

/** What the ledger keeps of a schedule made over REST. */
export type ScheduleSpec = z.output<typeof scheduleRequest>;

export const scheduleName = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);

export const scheduleListQuery = z.strictObject({ limit, cursor });

export const bulkOperation = z
  .object({
    id: z.uuid(),
    kind: z.enum(['cancel', 'retry']),
    filter: z.object({
      type: z.string().optional(),
      status: z.enum(JOB_STATUSES).optional(),
      label: z.string().optional(),
    }),
    state: z.enum(['running', 'done']),
    matched: z.int(),
    changed: z.int(),
    createdAt: z.iso.datetime(),
    finishedAt: time,
    links: z.object({ self: z.string() }),
  })
  .meta({ id: 'BulkOperation' });

export const contractStatus = z
  .object({
    chainId: z.int(),
    address: z.string(),
    status: z.enum(JOB_STATUSES),
    error: jobSchema.shape.error,
    job: jobSchema,
    links: z.object({ source: z.string().nullable(), job: z.string() }),
  })
  .meta({ id: 'ContractStatus' });

export const scheduleSchema = z
  .object({
    name: z.string(),
    cron: z.string().optional(),
    timeZone: z.string().optional(),
    every: z.string().optional(),
    overlap: z.enum(OVERLAP_POLICIES),
    catchUp: z.object({ policy: z.enum(CATCH_UP_POLICIES), limit: z.int() }),
    suspend: z.boolean(),
    job: jobTemplate,
    owner: z.enum(['rest', 'resource', 'type']),
    nextFireAt: time,
    lastFireAt: time,
    lastJobId: z.uuid().nullable(),
    version: z.int(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Schedule' });

export const jobTypeSchema = z
  .object({
    name: z.string(),
    description: z.string(),
    inputSchema: z.unknown(),
    resultSchema: z.unknown(),
    defaults: z.object({
      timeoutSeconds: z.int(),
      maxTimeoutSeconds: z.int(),
      retries: z.int(),
      maxRetries: z.int(),
      backoff: z.object({ baseMs: z.int(), maxMs: z.int() }),
      ttlSecondsAfterFinished: z.int(),
    }),
    limits: z.object({
      maxRunning: z.int().nullable(),
      rate: z.object({ count: z.int(), perSeconds: z.int() }).nullable(),
      budget: z.string().optional(),
    }),
    paused: z.boolean(),
  })
  .meta({ id: 'JobType' });
