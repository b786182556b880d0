import { JOB_FACTS, JOB_RULES, REST_RULES, ROW_RULES, type RowRule } from './audit-rules.ts';
import { type Database, type DatabaseClient, withTransaction } from './database.ts';

/** What is known of one rule. */
export interface Finding {
  /** As in the catalogue of invariants, I1 … I18. */
  invariant: string;
  what: string;
  /** A rule that nothing was there to be judged by proves nothing. */
  verdict: 'held' | 'broken' | 'proved-nothing';
  /** Jobs or rows that were judged. */
  checked: number;
  broken: number;
  /** Up to 50 of those that break it. */
  examples: string[];
}

export interface AuditOptions {
  /** Only jobs accepted since (milliseconds since the epoch). Absent: all. Leases and windows are always judged whole. */
  sinceMs?: number;
  /** Defaults to 30. */
  leaseSeconds?: number;
  /** Live jobs of a namespace. Defaults to 1,000. */
  windowSize?: number;
  /** Whether every accepted job must have ended: nothing is running on purpose. Defaults to false. */
  atRest?: boolean;
}

const MAX_EXAMPLES = 50;
const SNAPSHOT = 'begin isolation level repeatable read read only';
const LOWEST_ID = '00000000-0000-0000-0000-000000000000';

/** Judges the ledger by its invariants, in one snapshot. Reads only. */
export async function auditLedger(db: Database, options: AuditOptions = {}): Promise<Finding[]> {
  return withTransaction(db, (client) => auditSnapshot(client, options), SNAPSHOT);
}

async function auditSnapshot(client: DatabaseClient, options: AuditOptions): Promise<Finding[]> {
  const { rows } = await client.query<{ id: string }>('/* audit-since */ select uuid_floor($1) as id', [
    new Date(options.sinceMs ?? 0),
  ]);
  const from = options.sinceMs === undefined ? LOWEST_ID : (rows[0]?.id ?? LOWEST_ID);
  const findings = await auditJobs(client, from);
  const values = [from, options.leaseSeconds ?? 30, options.windowSize ?? 1_000];
  const rules = options.atRest === true ? [...ROW_RULES, ...REST_RULES] : ROW_RULES;
  for (const rule of rules) findings.push(await auditRows(client, rule, values));
  return findings;
}

/** Every rule over jobs in one pass. */
async function auditJobs(client: DatabaseClient, from: string): Promise<Finding[]> {
  const marks = JOB_RULES.map((rule, n) => `not coalesce(${rule.holds}, false) as r${n}`);
  const sums = JOB_RULES.flatMap((_, n) => [
    `count(*) filter (where r${n}) as n${n}`,
    `array(select id::text || case when status = 'SUCCESS' then ' succeeded' else ' is ' || status end
       || ' at attempt ' || attempt || ', lease ' || lease || ', version ' || version from judged where r${n} limit ${MAX_EXAMPLES}) as x${n}`,
  ]);
  const { rows } = await client.query(
    `/* audit-jobs */ with facts as materialized (${JOB_FACTS}), judged as materialized (
       select id, status, attempt, lease, version, ${marks.join(', ')} from facts)
     select count(*) as checked, ${sums.join(', ')} from judged`,
    [from],
  );
  const row = rows[0] as Record<string, unknown>;
  return JOB_RULES.map(({ invariant, what }, n) =>
    toFinding(invariant, what, Number(row.checked), Number(row[`n${n}`]), row[`x${n}`] as string[]),
  );
}

async function auditRows(client: DatabaseClient, rule: RowRule, values: unknown[]): Promise<Finding> {
  // Not every rule needs every value, but all of them have a type.
  const { rows } = await client.query<{ checked: number; broken: number; examples: string[] }>(
    `/* audit-rows */ with given as (select $1::uuid, $2::double precision, $3::integer), judged as materialized (${rule.sql})
     select count(*) as checked, count(*) filter (where broken) as broken,
       array(select example from judged where broken limit ${MAX_EXAMPLES}) as examples from judged`,
    values,
  );
  const { checked = 0, broken = 0, examples = [] } = rows[0] ?? {};
  return toFinding(rule.invariant, rule.what, checked, broken, examples);
}

function toFinding(
  invariant: string,
  what: string,
  checked: number,
  broken: number,
  examples: string[],
): Finding {
  const verdict = broken > 0 ? 'broken' : checked > 0 ? 'held' : 'proved-nothing';
  return { invariant, what, verdict, checked, broken, examples };
}
