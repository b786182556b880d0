import type { Logger } from '../core/logger.ts';
import { recoverLeases } from '../ledger/admission.ts';
import type { Database } from '../ledger/database.ts';

/** A job that was interrupted this often without progress is ended: it may be what stops its workers. */
export const MAX_INTERRUPTIONS = 5;

const BATCH = 500;

/** Reopens jobs whose workers are gone, in bounded batches. Any replica may run it at any time. */
export async function recover(
  options: { db: Database; leaseSeconds: number; logger: Logger },
  signal?: AbortSignal,
): Promise<{ recovered: number }> {
  let recovered = 0;
  while (signal?.aborted !== true) {
    const jobs = await recoverLeases(options.db, {
      leaseSeconds: options.leaseSeconds,
      maxInterruptions: MAX_INTERRUPTIONS,
      limit: BATCH,
    });
    recovered += jobs.length;
    for (const { jobId, outcome } of jobs) {
      options.logger.info({ job_id: jobId, outcome }, 'Recovered a job whose lease had expired');
    }
    if (jobs.length < BATCH) break;
  }
  return { recovered };
}
