import { expect } from 'vitest';
import { isFinal, type JobStatus } from '../../src/core/job.ts';
import type { Database } from '../../src/ledger/database.ts';

/** What a model believes of a job. */
export interface Believed {
  id: string;
  key: string;
  retries: number;
  status: JobStatus;
  attempt: number;
  failures: number;
  interruptions: number;
  lease: number;
  /** Whether its current lease is held. */
  live: boolean;
  /** Index of the worker that claimed it last. */
  worker: number;
  suspended: boolean;
  cancelRequested: boolean;
  version: number;
}

export function newlyAccepted(job: Pick<Believed, 'id' | 'key' | 'retries'>): Believed {
  return {
    ...job,
    status: 'CREATED',
    attempt: 1,
    failures: 0,
    interruptions: 0,
    lease: 0,
    live: false,
    worker: 0,
    suspended: false,
    cancelRequested: false,
    version: 1,
  };
}

/** What a queue entry that carries `lease` must be answered. */
export function claimVerdict(job: Believed, lease: number): string {
  if (isFinal(job.status)) return 'finished';
  if (lease !== job.lease) return 'stale';
  if (job.live) return 'leased';
  return job.suspended ? 'suspended' : 'claimed';
}

/** Expects the ledger to hold what the model believes, and each job's history to add up. */
export async function expectLedgerAgrees(db: Database, jobs: readonly Believed[]): Promise<void> {
  const { rows } = await db.query<{ id: string }>(INVARIANTS, [jobs.map(({ id }) => id)]);
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const job of jobs) {
    expect(byId.get(job.id)).toEqual({
      id: job.id,
      status: job.status,
      attempt: job.attempt,
      failures: job.failures,
      interruptions: job.interruptions,
      lease: job.lease,
      live: job.live,
      suspended: job.suspended,
      version: job.version,
      finished: isFinal(job.status),
      has_result: job.status === 'SUCCESS',
      events: job.version,
      last_event: job.version,
      // Every delivery but the live one has ended once, under its own number.
      ended_deliveries: job.lease - (job.live ? 1 : 0),
      results: job.status === 'SUCCESS' ? 1 : 0,
      allowance_kept: true,
      phases_in_order: true,
    });
  }
}

const INVARIANTS = `select j.id, j.status, j.attempt, j.failures, j.interruptions, j.lease, j.lease_until is not null as live, j.suspended,
    j.version, j.finished_at is not null as finished, j.result is not null as has_result, e.events::integer, e.last_event,
    a.ended::integer as ended_deliveries, a.results::integer as results, j.failures <= j.retries as allowance_kept,
    coalesce(j.accepted_at <= j.admitted_at, true) and coalesce(j.started_at <= clock_timestamp(), true)
      and coalesce(j.attempt_started_at <= j.finished_at or j.finished_at is null, true) as phases_in_order
  from jobs j,
  lateral (select count(*) as events, max(seq) as last_event from events e where e.job_id = j.id) e,
  lateral (select count(*) as ended, count(*) filter (where outcome = 'succeeded') as results from attempts a where a.job_id = j.id) a
  where j.id = any ($1)`;
