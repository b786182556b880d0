import { hash } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { uuidv7 } from '../core/ids.ts';
import type { NewJob } from '../core/job.ts';
import { type InputMistake, refuseWithoutUpload, type TypeLookup } from '../core/known-type.ts';
import type { Logger } from '../core/logger.ts';
import { dueFires, nextFire } from '../core/schedule.ts';
import { readSchedule, type SchedulePlan } from '../core/schedule-spec.ts';
import { acceptJobs } from '../ledger/accept.ts';
import { type Database, type DatabaseClient, withTransaction } from '../ledger/database.ts';
import { cancelJobs } from '../ledger/jobs.ts';
import {
  type DueSchedule,
  type Fire,
  listDueSchedules,
  lockDueSchedule,
  recordFires,
} from '../ledger/schedule-fires.ts';

export interface FireSchedulesOptions {
  db: Database;
  clock: Clock;
  logger: Logger;
  /** The job types that templates may name. */
  types: TypeLookup;
}

export interface ScheduleCounts {
  fired: number;
  skipped: number;
  failed: number;
}

const BATCH = 500;
/** The label by which the jobs of a schedule are listed. Nothing is decided by it. */
const SCHEDULE_LABEL = 'longshore.dev/schedule';
/** Longer than any fire time may be made up for. */
const FIRE_KEY_TTL_SECONDS = 32 * 24 * 3_600;

/**
 * Fires the schedules that are due. Each is dealt with in one transaction: the jobs, under the key of their fire time,
 * and the time of the next fire; so that two leaders, or a crash, make no second job and lose none.
 */
export async function fireSchedules(
  options: FireSchedulesOptions,
  signal?: AbortSignal,
): Promise<ScheduleCounts> {
  const { db, clock, logger } = options;
  const counts: ScheduleCounts = { fired: 0, skipped: 0, failed: 0 };
  const nowMs = clock.now();
  for (const key of await listDueSchedules(db, nowMs, BATCH)) {
    if (signal?.aborted === true) break;
    try {
      const fires = await withTransaction(db, (client) => fireOne(client, key, options, nowMs));
      for (const fire of fires) counts[fire.outcome] += 1;
    } catch (err) {
      // One schedule that cannot be dealt with does not hold the others up; it stays due.
      counts.failed += 1;
      logger.error({ err, namespace: key.namespace, schedule: key.name }, 'Failed to fire a schedule');
    }
  }
  return counts;
}

async function fireOne(
  client: DatabaseClient,
  key: { namespace: string; name: string },
  { types, logger }: FireSchedulesOptions,
  nowMs: number,
): Promise<Fire[]> {
  const schedule = await lockDueSchedule(client, key, nowMs);
  if (schedule === null) return [];
  const plan = readSchedule(schedule.spec);
  if ('refusal' in plan || plan.suspended) {
    if ('refusal' in plan)
      logger.warn({ ...key, refusal: plan.refusal }, 'Stopped a schedule whose spec cannot be read');
    const fires: Fire[] =
      'refusal' in plan ? [failed(schedule.nextFireAtMs, `InvalidSchedule: ${plan.refusal}`)] : [];
    await recordFires(client, key, fires, null);
    return fires;
  }
  const due = dueFires(plan.timing, plan.catchUp, schedule.nextFireAtMs - 1, nowMs);
  const template = await readTemplate(plan, schedule.namespace, types);
  const fires =
    'refusal' in template
      ? due.map((fireAtMs) => failed(fireAtMs, template.refusal))
      : await makeJobs(client, { schedule, overlap: plan.overlap, template, due });
  await recordFires(client, key, fires, nextFire(plan.timing, nowMs));
  return fires;
}

interface FireRequest {
  schedule: DueSchedule;
  overlap: SchedulePlan['overlap'];
  template: JobBase;
  due: readonly number[];
}

async function makeJobs(client: DatabaseClient, request: FireRequest): Promise<Fire[]> {
  const { schedule, overlap, template, due } = request;
  const { meant, skipped } = chooseFires(due, overlap, schedule.lastJobUnfinished);
  if (overlap === 'replace' && meant.length > 0 && schedule.lastJobUnfinished && schedule.lastJobId !== null)
    await cancelJobs(client, schedule.namespace, [schedule.lastJobId]);
  const jobs = meant.map((fireAtMs) => toJob(schedule, template, fireAtMs));
  const accepted = jobs.length > 0 ? await acceptJobs(client, jobs) : [];
  const fired = meant.map((fireAtMs, n): Fire => {
    const jobId = accepted[n]?.jobId ?? null;
    return { fireAtMs, outcome: 'fired', jobId, detail: null };
  });
  return [...skipped, ...fired].sort((a, b) => a.fireAtMs - b.fireAtMs);
}

/** Which fire times get a job: all, one while none goes on, or the newest in the place of whatever goes on. */
function chooseFires(
  due: readonly number[],
  overlap: SchedulePlan['overlap'],
  lastJobUnfinished: boolean,
): { meant: number[]; skipped: Fire[] } {
  if (overlap === 'allow') return { meant: [...due], skipped: [] };
  const places = overlap === 'skip' && lastJobUnfinished ? 0 : 1;
  // Skip lets the first run and passes over those that would overlap with it; replace ends with the newest.
  const meant = overlap === 'skip' ? due.slice(0, places) : due.slice(-1);
  const detail =
    overlap === 'skip' ? 'Overlap: an earlier job had not ended' : 'Replaced: a newer fire time was due too';
  const skipped = due
    .filter((fireAtMs) => !meant.includes(fireAtMs))
    .map((fireAtMs): Fire => ({ fireAtMs, outcome: 'skipped', jobId: null, detail }));
  return { meant, skipped };
}

/** What all jobs of a schedule have in common. */
type JobBase = Omit<NewJob, 'id' | 'uniqueKey'>;

async function readTemplate(
  { job }: SchedulePlan,
  namespace: string,
  types: TypeLookup,
): Promise<JobBase | { refusal: string }> {
  const type = await types.get(namespace, job.type);
  if (type === null) return { refusal: 'UnknownType: there is no such job type' };
  const fileless = refuseWithoutUpload(type, '/job/type');
  if (fileless !== null) return { refusal: refusedAs(fileless) };
  const checked = type.checkInput(job.input, '/job/input');
  if ('errors' in checked) {
    const [mistake = { pointer: '/job/input', detail: 'is refused' }] = checked.errors;
    return { refusal: refusedAs(mistake) };
  }
  const { defaults } = type;
  return {
    namespace,
    type: job.type,
    input: checked.input,
    priority: job.priority ?? 0,
    runAtMs: null,
    timeoutSeconds: Math.min(job.timeoutSeconds ?? defaults.timeoutSeconds, defaults.maxTimeoutSeconds),
    retries: Math.min(job.retries ?? defaults.retries, defaults.maxRetries),
    backoff: {
      baseMs: job.backoff?.baseMs ?? defaults.backoff.baseMs,
      maxMs: job.backoff?.maxMs ?? defaults.backoff.maxMs,
    },
    labels: job.labels ?? {},
    ttlSecondsAfterFinished: job.ttlSecondsAfterFinished ?? defaults.ttlSecondsAfterFinished,
    suspended: false,
    webhook: job.webhook ?? null,
    traceparent: null,
    resource: null,
    blobs: [],
  };
}

function toJob(schedule: DueSchedule, template: JobBase, fireAtMs: number): NewJob {
  const key = `${schedule.name} ${new Date(fireAtMs).toISOString()}`;
  return {
    ...template,
    id: uuidv7(),
    labels: { ...template.labels, [SCHEDULE_LABEL]: schedule.name },
    // The key alone says what the job stands for: a template that was edited meanwhile makes no second one.
    uniqueKey: { scope: 'fire', key, bodySha256: hash('sha256', key), ttlSeconds: FIRE_KEY_TTL_SECONDS },
  };
}

function refusedAs({ pointer, detail }: InputMistake): string {
  return `InvalidInput: ${pointer} ${detail}`;
}

function failed(fireAtMs: number, detail: string): Fire {
  return { fireAtMs, outcome: 'failed', jobId: null, detail };
}
