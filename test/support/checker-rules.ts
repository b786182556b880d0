import type { Finding } from '../../src/ledger/audit.ts';
import type {
  AnswerRecord,
  InvokeRecord,
  LedgerSnapshot,
  RunRecord,
  SeenJob,
  WitnessRecord,
} from './run-records.ts';

/** A call with its answer; `info` when none was written down. */
export interface Call extends InvokeRecord {
  answer: AnswerRecord;
}

/** What the ledger holds at the end of a run, beside the jobs themselves. */
export interface LedgerEnd {
  jobs: LedgerSnapshot;
  /** Idempotency keys and what they stand for. */
  keys: ReadonlyMap<string, string>;
  /** Jobs of a schedule's fire or an applied object: nobody submitted them over REST. */
  ownJobs: ReadonlySet<string>;
  /** The lease under which a job succeeded. */
  committedLeases: ReadonlyMap<string, number>;
  charged: number;
  redelivered: number;
}

export interface RunFacts {
  calls: Call[];
  witnesses: WitnessRecord[];
  /** Jobs whose worker was paused or cut off on purpose. */
  disturbed: ReadonlySet<string>;
  /** Looks at the ledger in order of time, the last one at the end. */
  snapshots: readonly LedgerSnapshot[];
  end: LedgerEnd;
}

const MAX_EXAMPLES = 50;
const FINAL = new Set(['SUCCESS', 'ERROR', 'CANCELLED']);

/** A finding over things of which some are broken. */
function judge(invariant: string, what: string, checked: number, examples: string[]): Finding {
  const verdict = examples.length > 0 ? 'broken' : checked > 0 ? 'held' : 'proved-nothing';
  return {
    invariant,
    what,
    verdict,
    checked,
    broken: examples.length,
    examples: examples.slice(0, MAX_EXAMPLES),
  };
}

/** Calls with their answers, in the order in which they were sent. */
export function pairCalls(records: readonly RunRecord[]): Call[] {
  const answers = new Map<string, AnswerRecord>();
  for (const record of records) {
    if (record.kind === 'ok' || record.kind === 'fail' || record.kind === 'info')
      answers.set(record.call, record);
  }
  return records
    .filter((record) => record.kind === 'invoke')
    .map((invoke) => ({
      ...invoke,
      answer: answers.get(invoke.call) ?? {
        kind: 'info',
        t: Number.POSITIVE_INFINITY,
        call: invoke.call,
        reason: 'no answer was written down',
      },
    }));
}

export const submitsOf = (calls: readonly Call[]) => calls.filter((call) => call.op === 'submit');

/** The job that a submit made or would have made, as far as that can be known. */
export function jobOf(call: Call, keys: ReadonlyMap<string, string>): string | undefined {
  if (call.answer.kind === 'ok') return call.answer.jobId;
  return call.jobId ?? (call.key === undefined ? undefined : keys.get(call.key));
}

/** I1: what was acknowledged is in every look at the ledger that began after the answer. */
export function nothingLost({ calls, snapshots }: RunFacts): Finding {
  const lost: string[] = [];
  const acknowledged = submitsOf(calls).flatMap(({ answer }) => (answer.kind === 'ok' ? [answer] : []));
  for (const { jobId, t } of acknowledged) {
    const missing = snapshots.find((snapshot) => snapshot.t >= t && !snapshot.jobs.has(jobId));
    if (missing !== undefined) lost.push(`${jobId} was acknowledged at ${t} and is missing at ${missing.t}`);
  }
  return judge('I1', 'every acknowledged job is in the ledger ever after', acknowledged.length, lost);
}

/** I2: every job was asked for. */
export function nothingInvented({ calls, end }: RunFacts): Finding {
  const asked = new Set(submitsOf(calls).flatMap((call) => jobOf(call, end.keys) ?? []));
  const invented = [...end.jobs.jobs.keys()].filter((id) => !asked.has(id) && !end.ownJobs.has(id));
  return judge('I2', 'every job was submitted, fired or applied', end.jobs.jobs.size, invented);
}

/** Each pair of neighbouring looks at each job. */
function* steps(snapshots: readonly LedgerSnapshot[]): Generator<{ id: string; from: SeenJob; to: SeenJob }> {
  for (const [n, snapshot] of snapshots.entries()) {
    const next = snapshots[n + 1];
    if (next === undefined) return;
    for (const [id, from] of snapshot.jobs) {
      const to = next.jobs.get(id);
      if (to !== undefined) yield { id, from, to };
    }
  }
}

/** I3, I4, I16: what may change from one look at the ledger to the next. */
export function looksAgree({ snapshots }: RunFacts): Finding[] {
  const ends: string[] = [];
  const results: string[] = [];
  const back: string[] = [];
  let checked = 0;
  for (const { id, from, to } of steps(snapshots)) {
    checked += 1;
    const change = `${id} went from ${from.status} (attempt ${from.attempt}) to ${to.status} (attempt ${to.attempt})`;
    if (from.status === 'SUCCESS' && to.status !== 'SUCCESS') ends.push(change);
    else if (FINAL.has(from.status) && to.attempt === from.attempt && to.status !== from.status)
      ends.push(change);
    if (from.status === 'SUCCESS' && to.result !== from.result)
      results.push(`${id} has another result than before`);
    if (to.version < from.version || to.attempt < from.attempt) back.push(change);
  }
  return [
    judge('I3', 'an end stays, but for a retry', checked, ends),
    judge('I4', 'a result stays as it is', checked, results),
    judge('I16', 'no job goes back to an earlier version or attempt', checked, back),
  ];
}

/** I5: a lease is used once, and the result that was committed is of a handler that came to its end. */
export function leasesAreFenced({ witnesses, end }: RunFacts): Finding[] {
  const used = new Map<string, number>();
  const ended = new Set<string>();
  for (const { kind, jobId, lease } of witnesses) {
    const key = `${jobId} lease ${lease}`;
    if (kind === 'start') used.set(key, (used.get(key) ?? 0) + 1);
    if (kind === 'end') ended.add(key);
  }
  const reused = [...used]
    .filter(([, count]) => count > 1)
    .map(([key, count]) => `${key} started ${count} times`);
  const seen = new Set(witnesses.map(({ jobId }) => jobId));
  const judged = [...end.committedLeases].filter(([jobId]) => seen.has(jobId));
  const unended = judged
    .filter(([jobId, lease]) => !ended.has(`${jobId} lease ${lease}`))
    .map(([jobId, lease]) => `${jobId} succeeded under lease ${lease}, whose handler did not end`);
  return [
    judge('I5', 'each lease was started once', used.size, reused),
    judge('I5', 'the delivery whose lease succeeded is one that came to its end', judged.length, unended),
  ];
}

/** I7: two executions of a job overlap only where a fault made them. Answers the overlaps that faults made, too. */
export function executionsDoNotOverlap({ witnesses, disturbed }: RunFacts): {
  finding: Finding;
  twins: number;
} {
  const open = new Map<string, Set<number>>();
  const overlaps: string[] = [];
  let twins = 0;
  let starts = 0;
  for (const { kind, jobId, lease } of witnesses) {
    const leases = open.get(jobId) ?? new Set();
    open.set(jobId, leases);
    if (kind === 'end' || kind === 'abort-seen') leases.delete(lease);
    if (kind !== 'start') continue;
    starts += 1;
    if (leases.size > 0 && disturbed.has(jobId)) twins += 1;
    else if (leases.size > 0)
      overlaps.push(`${jobId}: lease ${lease} began while ${[...leases].join(', ')} went on`);
    leases.add(lease);
  }
  return {
    finding: judge('I7', 'executions of a job overlap only where a fault made them', starts, overlaps),
    twins,
  };
}

/** I12: one key, one job; another body under it is refused. */
export function keysAreUnique({ calls, end }: RunFacts): Finding {
  const broken: string[] = [];
  const keyed = Map.groupBy(
    submitsOf(calls).filter((call) => call.key !== undefined && call.answer.kind === 'ok'),
    (call) => call.key as string,
  );
  for (const [key, ofKey] of keyed) {
    const ids = new Set(ofKey.map((call) => jobOf(call, end.keys)));
    const bodies = new Set(ofKey.map((call) => call.bodySha256));
    if (ids.size > 1) broken.push(`${key} was answered with ${[...ids].join(' and ')}`);
    if (bodies.size > 1) broken.push(`${key} was accepted for ${bodies.size} bodies`);
    const held = end.keys.get(key);
    if (held !== undefined && !ids.has(held))
      broken.push(`${key} was answered otherwise than the ledger's ${held}`);
  }
  return judge('I12', 'one key is one job, and stands for one body', keyed.size, broken);
}

/** I13: no success after an acknowledged cancellation that no retry followed. */
export function cancellationsHold({ calls, end }: RunFacts): Finding {
  const retries = calls.filter((call) => call.op === 'retry' && call.answer.kind !== 'fail');
  const cancelled = calls.filter(
    (call) =>
      call.op === 'cancel' &&
      call.answer.kind === 'ok' &&
      !retries.some((retry) => retry.jobId === call.jobId && retry.answer.t > call.t),
  );
  const broken = cancelled
    .filter((call) => end.jobs.jobs.get(call.jobId ?? '')?.status === 'SUCCESS')
    .map((call) => `${call.jobId} succeeded although its cancellation was acknowledged`);
  return judge('I13', 'no success after an acknowledged cancellation', cancelled.length, broken);
}
