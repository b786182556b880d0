import type { Database } from '../../src/ledger/database.ts';
import type { LedgerSnapshot, RunRecord } from './run-records.ts';

export type Verdict = 'held' | 'broken' | 'proved-nothing';

/** What is known of one invariant after a run. */
export interface Finding {
  /** `I1` … `I16`, as in docs/reliability.md. */
  invariant: string;
  /** What was looked at, in words. */
  what: string;
  verdict: Verdict;
  /** How many things were looked at; a finding over nothing proves nothing. */
  checked: number;
  /** Up to 50 that break it. */
  examples: string[];
}

export interface RunCounts {
  /** Submits that were answered with a job. */
  acknowledged: number;
  /** … whose job is not in the ledger. */
  lost: number;
  /** Jobs that nobody submitted. */
  unexpected: number;
  /** Keys, or deliveries' results, that stand for more than one. */
  duplicated: number;
  /** Submits without an answer whose job is there all the same. */
  recovered: number;
  /** Deliveries that ran to their end at the witness and were not committed. */
  fenced: number;
  /** Deliveries beyond the first of an attempt. */
  redelivered: number;
  /** Attempts that were charged to the allowance. */
  charged: number;
}

export interface RunReport {
  /** `broken` if any finding is; `proved-nothing` when the run was too small or nothing was injected; else `held`. */
  verdict: Verdict;
  /** Why the verdict is not `held`, in words. */
  reasons: string[];
  findings: Finding[];
  counts: RunCounts;
}

export interface CheckOptions {
  /** Fewer acknowledged jobs prove nothing. Defaults to 1,000. */
  minJobs?: number;
  /** Fewer verified injections prove nothing. Defaults to 2; 0 for a run without faults. */
  minInjections?: number;
  /** Whether everything is at rest: every accepted job must have ended. Defaults to true. */
  atRest?: boolean;
  /** Defaults to 30. */
  leaseSeconds?: number;
  /** Live jobs of a namespace. Defaults to 1,000. */
  windowSize?: number;
}

/**
 * Judges a run from what clients were told, what handlers' witnesses saw, earlier looks at the ledger and the ledger
 * itself as it is now (read in one snapshot). Changes nothing.
 */
export async function checkRun(
  _db: Database,
  _run: { records: readonly RunRecord[]; snapshots?: readonly LedgerSnapshot[] },
  _options: CheckOptions = {},
): Promise<RunReport> {
  throw new Error('checkRun is not written yet');
}

/** One look at all jobs, to be given to {@link checkRun} later; take one a second while a run goes on. */
export async function snapshotLedger(_db: Database, t: number): Promise<LedgerSnapshot> {
  return { t, jobs: new Map() };
}
