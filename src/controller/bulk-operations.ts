import { stepBulkOperation } from '../ledger/bulk-steps.ts';
import type { Database } from '../ledger/database.ts';

const BATCH = 200;

/** Carries out what was asked for many jobs at once, in small transactions, until nothing is left to do. */
export async function runBulkOperations(
  db: Database,
  signal?: AbortSignal,
  batch = BATCH,
): Promise<{ operations: number; changed: number }> {
  const counts = { operations: 0, changed: 0 };
  while (signal?.aborted !== true) {
    const step = await stepBulkOperation(db, batch);
    if (step === null) break;
    counts.changed += step.changed;
    if (step.done) counts.operations += 1;
  }
  return counts;
}
