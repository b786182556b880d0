import { type AuditOptions, auditLedger, type Finding } from '../../src/ledger/audit.ts';
import { type Database, withTransaction } from '../../src/ledger/database.ts';
import {
  type Call,
  cancellationsHold,
  executionsDoNotOverlap,
  jobOf,
  keysAreUnique,
  type LedgerEnd,
  leasesAreFenced,
  looksAgree,
  nothingInvented,
  nothingLost,
  pairCalls,
  type RunFacts,
  submitsOf,
} from './checker-rules.ts';
import type { LedgerSnapshot, RunRecord, SeenJob, WitnessRecord } from './run-records.ts';

export type { Finding };
export type Verdict = Finding['verdict'];

export interface RunCounts {
  /** Submits that were answered with a job. */
  acknowledged: number;
  /** … whose job is missing from the ledger. */
  lost: number;
  /** Jobs that nobody asked for. */
  unexpected: number;
  /** Keys that stand for more than one job or body, and leases that were started more than once. */
  duplicated: number;
  /** Submits without an answer whose job is there all the same. */
  recovered: number;
  /** Handlers that came to their end and whose delivery did not succeed. */
  fenced: number;
  /** Deliveries that were handed back or expired, so that the attempt was delivered again. */
  redelivered: number;
  /** Overlapping executions that a fault made. */
  twins: number;
  /** Attempts that were charged to the allowance. */
  charged: number;
}

export interface RunReport {
  /** `broken` if any finding is; `proved-nothing` when the run was too small or too little was injected; else `held`. */
  verdict: Verdict;
  /** Why the verdict is not `held`, in words. */
  reasons: string[];
  /** The ledger's own audit, and what the run's records say. */
  findings: Finding[];
  counts: RunCounts;
}

export interface CheckOptions extends AuditOptions {
  /** Fewer acknowledged jobs prove nothing. Defaults to 1,000. */
  minJobs?: number;
  /** Fewer verified injections prove nothing. Defaults to 2; 0 for a run without faults. */
  minInjections?: number;
  /** Whether everything is at rest: every accepted job must have ended. Defaults to true. */
  atRest?: boolean;
}

/**
 * Judges a run from what clients were told, what handlers' witnesses saw, earlier looks at the ledger and the ledger
 * itself as it is now. Changes nothing.
 */
export async function checkRun(
  db: Database,
  run: { records: readonly RunRecord[]; snapshots?: readonly LedgerSnapshot[] },
  options: CheckOptions = {},
): Promise<RunReport> {
  const { minJobs = 1_000, minInjections = 2, ...audit } = options;
  const ledgerFindings = await auditLedger(db, { atRest: true, ...audit });
  const facts = await gather(db, run);
  const overlap = executionsDoNotOverlap(facts);
  const [lost, invented, keys] = [nothingLost(facts), nothingInvented(facts), keysAreUnique(facts)];
  const leases = leasesAreFenced(facts);
  const findings = [
    ...ledgerFindings,
    lost,
    invented,
    ...looksAgree(facts),
    ...leases,
    overlap.finding,
    keys,
    cancellationsHold(facts),
  ];
  const counts: RunCounts = {
    ...countCalls(facts),
    lost: lost.broken,
    unexpected: invented.broken,
    duplicated: keys.broken + (leases[0]?.broken ?? 0),
    fenced: countFenced(facts),
    redelivered: facts.end.redelivered,
    twins: overlap.twins,
    charged: facts.end.charged,
  };
  const injections = run.records.filter((record) => record.kind === 'injection').length;
  const broken = findings.filter((finding) => finding.verdict === 'broken');
  const tooLittle = [
    ...(counts.acknowledged < minJobs
      ? [`only ${counts.acknowledged} of ${minJobs} jobs were acknowledged`]
      : []),
    ...(injections < minInjections
      ? [`only ${injections} of ${minInjections} faults were seen to work`]
      : []),
  ];
  return {
    verdict: broken.length > 0 ? 'broken' : tooLittle.length > 0 ? 'proved-nothing' : 'held',
    reasons: [
      ...broken.map((f) => `${f.invariant}: ${f.what}; ${f.broken} not, such as ${f.examples[0]}`),
      ...tooLittle,
    ],
    findings,
    counts,
  };
}

async function gather(
  db: Database,
  run: { records: readonly RunRecord[]; snapshots?: readonly LedgerSnapshot[] },
): Promise<RunFacts> {
  const end = await readEnd(db);
  return {
    calls: pairCalls(run.records),
    witnesses: run.records.filter(isWitness),
    disturbed: new Set(
      run.records.flatMap((record) => (record.kind === 'injection' ? (record.jobIds ?? []) : [])),
    ),
    snapshots: [...(run.snapshots ?? []), end.jobs],
    end,
  };
}

function isWitness(record: RunRecord): record is WitnessRecord {
  return ['start', 'effect', 'abort-seen', 'end'].includes(record.kind);
}

function countCalls({ calls, end }: RunFacts): Pick<RunCounts, 'acknowledged' | 'recovered'> {
  const submits = submitsOf(calls);
  const isRecovered = (call: Call) =>
    call.answer.kind === 'info' && end.jobs.jobs.has(jobOf(call, end.keys) ?? '');
  return {
    acknowledged: submits.filter((call) => call.answer.kind === 'ok').length,
    recovered: submits.filter(isRecovered).length,
  };
}

function countFenced({ witnesses, end }: RunFacts): number {
  return witnesses.filter(
    ({ kind, jobId, lease }) =>
      kind === 'end' && end.committedLeases.has(jobId) && end.committedLeases.get(jobId) !== lease,
  ).length;
}

/** One look at all jobs, to be given to {@link checkRun} later; take one a second while a run goes on. */
export async function snapshotLedger(db: Pick<Database, 'query'>, t: number): Promise<LedgerSnapshot> {
  const { rows } = await db.query<SeenJob & { id: string }>(
    'select id, status, attempt, version, md5(result::text) as result from jobs',
  );
  return { t, jobs: new Map(rows.map(({ id, ...seen }) => [id, seen])) };
}

function readEnd(db: Database): Promise<LedgerEnd> {
  return withTransaction(db, async (client) => {
    await client.query('set transaction isolation level repeatable read read only');
    const jobs = await snapshotLedger(client, Number.POSITIVE_INFINITY);
    const { rows: keys } = await client.query<{ key: string; job_id: string; scope: string }>(
      'select key, job_id, scope from unique_keys',
    );
    const { rows: applied } = await client.query<{ id: string }>(
      'select id from jobs where resource_uid is not null',
    );
    const { rows: committed } = await client.query<{ job_id: string; lease: number }>(
      `select job_id, max(lease) as lease from attempts where outcome = 'succeeded' group by 1`,
    );
    const { rows: sums } = await client.query<{ charged: number; redelivered: number }>(
      `select (select coalesce(sum(failures), 0)::integer from jobs) as charged,
         (select count(*)::integer from attempts where outcome in ('handed_back', 'expired')) as redelivered`,
    );
    return {
      jobs,
      keys: new Map(keys.filter((k) => k.scope === 'idempotency').map((k) => [k.key, k.job_id])),
      ownJobs: new Set([
        ...keys.filter((k) => k.scope === 'fire' || k.scope === 'resource').map((k) => k.job_id),
        ...applied.map((row) => row.id),
      ]),
      committedLeases: new Map(committed.map((row) => [row.job_id, row.lease])),
      charged: sums[0]?.charged ?? 0,
      redelivered: sums[0]?.redelivered ?? 0,
    };
  });
}
