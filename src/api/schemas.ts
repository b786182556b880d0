import { z } from 'zod';
import { isUuid } from '../core/ids.ts';
import { JOB_STATUSES, MAX_PRIORITY, MIN_PRIORITY } from '../core/job.ts';
import { isJobTypeName } from '../core/job-type.ts';

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
