import fc from 'fast-check';
import type { JobError } from '../../src/core/errors.ts';
import type { Outcome } from '../../src/ledger/worker-ledger.ts';
import type { Believed } from './job-invariants.ts';

/** A step of the world; `pick` chooses among the jobs, deliveries or queue entries that there are. */
export type Step =
  | { do: 'submit'; retries: number; again: boolean; pick: number }
  | { do: 'admit' | 'dispatch' | 'recover' | 'cancel' | 'retry' | 'expire' | 'crash'; pick: number }
  | { do: 'suspend'; suspended: boolean; pick: number }
  /** A worker takes a queue entry: the newest, or one that is stale, or one that another worker has too. */
  | { do: 'claim'; entry: 'newest' | 'stale' | 'duplicate'; again: boolean; worker: number; pick: number }
  /** Queue entries vanish: the job is dispatched anew from the ledger. */
  | { do: 'lose-message'; pick: number }
  | { do: 'renew'; progress: boolean; pick: number }
  /** A worker commits a delivery that it once claimed, whatever became of it since. */
  | { do: 'commit'; outcome: Outcome['outcome']; retryable: boolean; pick: number };

const pick = fc.nat(1_000);
export const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('submit' as const),
      retries: fc.nat(2),
      again: fc.boolean(),
      pick,
    }),
  },
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'admit' as const,
        'dispatch' as const,
        'recover' as const,
        'cancel' as const,
        'retry' as const,
        'expire' as const,
        'crash' as const,
      ),
      pick,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('suspend' as const), suspended: fc.boolean(), pick }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('claim' as const),
      entry: fc.constantFrom('newest' as const, 'newest' as const, 'stale' as const, 'duplicate' as const),
      again: fc.boolean(),
      worker: fc.nat(1),
      pick,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose-message' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('renew' as const), progress: fc.boolean(), pick }) },
  {
    weight: 7,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      outcome: fc.constantFrom(
        'succeeded' as const,
        'failed' as const,
        'handed_back' as const,
        'cancelled' as const,
      ),
      retryable: fc.boolean(),
      pick,
    }),
  },
);

const BROKEN: JobError = { code: 'Broken', message: 'It broke', retryable: false };

/** What a commit under the current lease makes of a job. */
export function settle(
  job: Believed,
  { outcome, retryable }: { outcome: Outcome['outcome']; retryable: boolean },
): void {
  job.live = false;
  job.version += 1;
  if (job.cancelRequested || outcome === 'cancelled') job.status = 'CANCELLED';
  else if (outcome === 'succeeded') job.status = 'SUCCESS';
  else if (outcome === 'failed' && retryable && job.failures < job.retries) {
    job.failures += 1;
    job.attempt += 1;
  } else if (outcome === 'failed') job.status = 'ERROR';
}

export function toOutcome({
  outcome,
  retryable,
}: {
  outcome: Outcome['outcome'];
  retryable: boolean;
}): Outcome {
  switch (outcome) {
    case 'succeeded':
      return { outcome, result: { ok: true }, blobs: [] };
    case 'failed':
      return { outcome, error: { ...BROKEN, retryable }, delayMs: 1 };
    case 'handed_back':
      return { outcome, delayMs: 1 };
    case 'cancelled':
      return { outcome };
    default:
      return outcome satisfies never;
  }
}
