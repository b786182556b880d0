import type { Database } from '../ledger/database.ts';
import {
  deleteOldJobs,
  deleteOldRounds,
  dropOldWeeks,
  ensurePartitions,
  keepRateHistory,
  type Retention,
  SWEEP_NAMES,
  type Sweep,
  sweep,
} from '../ledger/retention.ts';

export interface RetentionOptions {
  db: Database;
  retention: Retention;
  /** Rows of one statement. Defaults to 1,000. */
  batch?: number;
  /** Statements of one kind in a round; what is left comes in the next. Defaults to 100. */
  maxBatches?: number;
}

export interface RetentionCounts extends Partial<Record<Sweep, number>> {
  partitionsMade: number;
  weeksDropped: number;
  rateDaysDropped: number;
  rounds: number;
  jobs: number;
}

/**
 * Forgets what is past its time. Whole weeks are dropped when all in them is; so a finished job stays for `jobDays` and
 * up to a week more. A blob's bytes go `blobDays` after its last job's end; that there was one is kept with the job.
 */
export async function keepRetention(
  options: RetentionOptions,
  signal?: AbortSignal,
): Promise<RetentionCounts> {
  const { db, retention, batch = 1_000, maxBatches = 100 } = options;
  const counts: RetentionCounts = {
    partitionsMade: await ensurePartitions(db),
    weeksDropped: await dropOldWeeks(db, retention.jobDays),
    rateDaysDropped: (await keepRateHistory(db, retention.rateDays)).dropped,
    jobs: await deleteJobs(options, signal),
    rounds: await repeat(() => deleteOldRounds(db, batch), maxBatches, signal),
  };
  for (const name of SWEEP_NAMES) {
    const total = await repeat(() => sweep(db, name, retention, batch), maxBatches, signal);
    if (total > 0) counts[name] = total;
  }
  return counts;
}

/** Takes batches until one is empty; answers the sum of them. */
async function repeat(
  takeBatch: () => Promise<number>,
  maxBatches: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  let total = 0;
  for (let n = 0; n < maxBatches && signal?.aborted !== true; n += 1) {
    const taken = await takeBatch();
    total += taken;
    if (taken === 0) break;
  }
  return total;
}

async function deleteJobs(options: RetentionOptions, signal?: AbortSignal): Promise<number> {
  const { db, retention, batch = 1_000, maxBatches = 100 } = options;
  let deleted = 0;
  let cursor: string | null = null;
  for (let n = 0; n < maxBatches && signal?.aborted !== true; n += 1) {
    const step: Awaited<ReturnType<typeof deleteOldJobs>> = await deleteOldJobs(
      db,
      retention.jobDays,
      batch,
      cursor,
    );
    deleted += step.deleted;
    cursor = step.cursor;
    if (cursor === null) break;
  }
  return deleted;
}
