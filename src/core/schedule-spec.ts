import { z } from 'zod';
import {
  CATCH_UP_POLICIES,
  type CatchUp,
  OVERLAP_POLICIES,
  type OverlapPolicy,
  parseEvery,
  refuseCron,
  type ScheduleTiming,
} from './schedule.ts';

/** What a schedule makes at each fire. Its `input` is judged by the type again at each fire: types change. */
const jobTemplate = z.object({
  type: z.string(),
  input: z.unknown(),
  priority: z.int().optional(),
  timeoutSeconds: z.int().positive().optional(),
  retries: z.int().nonnegative().optional(),
  backoff: z.object({ baseMs: z.int().positive(), maxMs: z.int().positive() }).partial().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  ttlSecondsAfterFinished: z.int().nonnegative().optional(),
  webhook: z.object({ url: z.string() }).optional(),
});

/** A schedule as the ledger keeps it, whoever wrote it. Whoever writes is stricter and says what is wrong. */
const scheduleSpec = z.object({
  cron: z.string().optional(),
  timeZone: z.string().optional(),
  every: z.string().optional(),
  overlap: z.enum(OVERLAP_POLICIES).default('allow'),
  catchUp: z
    .object({ policy: z.enum(CATCH_UP_POLICIES).default('last'), limit: z.int().positive().default(10) })
    .default({ policy: 'last', limit: 10 }),
  suspend: z.boolean().default(false),
  // REST says `job`, a JobSchedule says `jobTemplate`.
  job: jobTemplate.optional(),
  jobTemplate: jobTemplate.optional(),
});

export type JobTemplate = z.output<typeof jobTemplate>;

export interface SchedulePlan {
  timing: ScheduleTiming;
  overlap: OverlapPolicy;
  catchUp: CatchUp;
  suspended: boolean;
  job: JobTemplate;
}

/** Reads a schedule's spec, or says why it cannot be used (one line, for people). */
export function readSchedule(spec: unknown): SchedulePlan | { refusal: string } {
  const parsed = scheduleSpec.safeParse(spec);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { refusal: `/${issue?.path.join('/') ?? ''}: ${issue?.message ?? 'is not valid'}` };
  }
  const { overlap, catchUp, suspend, job = parsed.data.jobTemplate } = parsed.data;
  if (job === undefined) return { refusal: '/job: is missing' };
  const timing = readTiming(parsed.data);
  if ('refusal' in timing) return timing;
  return { timing, overlap, catchUp, suspended: suspend, job };
}

function readTiming(spec: z.output<typeof scheduleSpec>): ScheduleTiming | { refusal: string } {
  if (spec.every !== undefined) {
    const everySeconds = parseEvery(spec.every);
    return everySeconds === null ? { refusal: '/every: is no period' } : { everySeconds };
  }
  if (spec.cron === undefined) return { refusal: 'either cron or every is needed' };
  const timing = { cron: spec.cron, timeZone: spec.timeZone ?? 'UTC' };
  const mistake = refuseCron(timing.cron, timing.timeZone);
  return mistake === null ? timing : { refusal: `/${mistake.field}: ${mistake.detail}` };
}
