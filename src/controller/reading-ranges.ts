import type { NewJob } from '../core/job.ts';
import { planRanges } from '../core/reading-ranges.ts';
import { acceptJobs } from '../ledger/accept.ts';
import type { Database } from '../ledger/database.ts';
import {
  cutRange,
  ensureReadingMonths,
  listUnacceptedRanges,
  listWaitingBatches,
  markRangesAccepted,
  type ReadingRange,
  reopenRanges,
  sweepReadingLeftovers,
} from '../ledger/reading-ranges.ts';
import { meterReadingsType } from '../types/meter-readings/type.ts';

/** Batches that one round looks at; it goes on at once when there are more. */
const MAX_BATCHES = 5_000;
const MAX_ACCEPTED = 100;
const MAX_DELAY_MS = 10 * 60_000;

/**
 * Cuts stored readings into ranges and has a job accepted for each. Every step is level-based: a range is made by the
 * statement that takes its batches, it carries the id of its job, and a job is accepted until it is noted that it was;
 * so a crash between any two of them loses nothing and judges nothing twice.
 */
export async function cutReadingRanges(
  db: Database,
  signal?: AbortSignal,
): Promise<{ ranges: number; jobs: number }> {
  const counts = { ranges: 0, jobs: 0 };
  for (;;) {
    const batches = await listWaitingBatches(db, MAX_BATCHES);
    const ranges = planRanges(batches);
    for (const range of ranges) {
      const namespace = range[0]?.namespace ?? '';
      const readings = await cutRange(
        db,
        namespace,
        range.map(({ id }) => id),
      );
      if (readings > 0) counts.ranges += 1;
      if (signal?.aborted === true) break;
    }
    counts.jobs += await acceptRanges(db, signal);
    if (batches.length < MAX_BATCHES || ranges.length === 0 || signal?.aborted === true) return counts;
  }
}

async function acceptRanges(db: Database, signal?: AbortSignal): Promise<number> {
  let jobs = 0;
  while (signal?.aborted !== true) {
    const ranges = await listUnacceptedRanges(db, MAX_ACCEPTED);
    if (ranges.length === 0) break;
    await acceptJobs(db, ranges.map(toJob));
    await markRangesAccepted(db, ranges);
    jobs += ranges.length;
    if (ranges.length < MAX_ACCEPTED) break;
  }
  return jobs;
}

function toJob({ id, namespace, jobId, tries, traceparent }: ReadingRange): NewJob {
  const { name, defaults } = meterReadingsType;
  // A range whose jobs keep failing is tried for ever, but not all the time.
  const delayMs = tries === 1 ? 0 : Math.min(MAX_DELAY_MS, 1_000 * 2 ** Math.min(tries, 20));
  return {
    id: jobId,
    namespace,
    type: name,
    input: { range: id },
    priority: 0,
    runAtMs: delayMs === 0 ? null : Date.now() + delayMs,
    timeoutSeconds: defaults.timeoutSeconds,
    retries: defaults.retries,
    backoff: defaults.backoff,
    labels: {},
    ttlSecondsAfterFinished: defaults.ttlSecondsAfterFinished,
    suspended: false,
    webhook: null,
    traceparent,
    resource: null,
    blobs: [],
    uniqueKey: null,
  };
}

const SWEEP = 1_000;

/** Gives new jobs to ranges whose jobs ended without judging them, makes months' partitions, forgets what is over. */
export async function keepReadings(
  db: Database,
  signal?: AbortSignal,
): Promise<{ reopened: number; months: number; swept: number }> {
  const counts = {
    reopened: await reopenRanges(db, MAX_ACCEPTED),
    months: await ensureReadingMonths(db),
    swept: 0,
  };
  while (signal?.aborted !== true) {
    const swept = await sweepReadingLeftovers(db, SWEEP);
    counts.swept += swept;
    if (swept < SWEEP) break;
  }
  return counts;
}
