import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { admitJobs, recoverLeases } from '../../src/ledger/admission.ts';
import { type AuditOptions, auditLedger } from '../../src/ledger/audit.ts';
import { cancelJobs, retryJobs, suspendJob } from '../../src/ledger/jobs.ts';
import type { ClaimedJob, Outcome, WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { type CheckOptions, checkRun, snapshotLedger } from '../support/checker.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';
import { type LedgerSnapshot, RunRecorder } from '../support/run-records.ts';

let ledger: TestLedger;
let recorder: RunRecorder;
let snapshots: LedgerSnapshot[];
let workers: WorkerLedger[];

beforeEach(async () => {
  ledger = await createTestLedger();
  recorder = new RunRecorder();
  snapshots = [];
  workers = [ledger.worker('worker-0'), ledger.worker('worker-1')];
});
afterEach(() => ledger.close());

const SUCCESS: Outcome = { outcome: 'succeeded', result: { ok: true }, blobs: [] };
const RETRYABLE: Outcome = {
  outcome: 'failed',
  error: { code: 'Flaky', message: 'Not yet', retryable: true },
};
const TERMINAL: Outcome = { outcome: 'failed', error: { code: 'Bad', message: 'Never', retryable: false } };
const HAND_BACK: Outcome = { outcome: 'handed_back', delayMs: 0 };

/** The client's side, written down. */
async function submit(overrides: Parameters<typeof newJob>[0] = {}): Promise<string> {
  const job = newJob(overrides);
  const call = recorder.invoke('submit', {
    jobId: job.id,
    ...(job.uniqueKey === null ? {} : { key: job.uniqueKey.key, bodySha256: job.uniqueKey.bodySha256 }),
  });
  const [accepted] = await acceptJobs(ledger.db, [job]);
  if (accepted?.outcome === 'conflict') call.fail(422);
  else call.ok(accepted?.jobId ?? '', 201);
  return accepted?.jobId ?? '';
}

async function cancel(id: string): Promise<void> {
  const call = recorder.invoke('cancel', { jobId: id });
  await cancelJobs(ledger.db, 'default', [id]);
  call.ok(id, 200);
}

async function retry(id: string): Promise<void> {
  const call = recorder.invoke('retry', { jobId: id });
  const outcome = (await retryJobs(ledger.db, 'default', [id])).get(id);
  if (outcome === 'retried') call.ok(id, 200);
  else call.fail(409);
}

/** The worker's side, seen by the witness. */
async function claim(id: string, worker = 0): Promise<ClaimedJob> {
  await admitJobs(ledger.db, [{ namespace: 'default', type: 'echo', count: 1_000 }], { dispatch: true });
  await ledger.db.query('update jobs set run_at = now() where finished_at is null');
  const { rows } = await ledger.db.query('select lease from jobs where id = $1', [id]);
  const [claimed] = await (workers[worker] as WorkerLedger).claim([{ id, lease: rows[0].lease }]);
  if (claimed === undefined || 'refused' in claimed)
    throw new Error(`The claim was refused: ${claimed?.refused}`);
  recorder.witness('start', {
    jobId: id,
    attempt: claimed.attempt,
    lease: claimed.lease,
    worker: `${worker}`,
  });
  return claimed;
}

async function commit(job: ClaimedJob, outcome: Outcome, worker = 0): Promise<void> {
  const { id: jobId, lease, attempt } = job;
  recorder.witness('end', { jobId, attempt, lease, worker: `${worker}` });
  await (workers[worker] as WorkerLedger).commit([{ id: jobId, lease, ...outcome }]);
}

async function run(id: string, outcome: Outcome, worker = 0): Promise<void> {
  await commit(await claim(id, worker), outcome, worker);
}

async function expire(id: string): Promise<void> {
  await ledger.db.query(`update jobs set lease_until = now() - interval '1 second' where id = $1`, [id]);
  await recoverLeases(ledger.db, { leaseSeconds: 30, maxInterruptions: 5, limit: 10 });
}

async function look(): Promise<void> {
  snapshots.push(await snapshotLedger(ledger.db, recorder.now()));
}

const check = (options: CheckOptions = {}) =>
  checkRun(ledger.db, { records: recorder.records, snapshots }, { minJobs: 1, minInjections: 0, ...options });
const brokenOf = (findings: { invariant: string; verdict: string }[]) => [
  ...new Set(findings.filter((f) => f.verdict === 'broken').map((f) => f.invariant)),
];
const audit = async (options: AuditOptions = {}) => brokenOf(await auditLedger(ledger.db, options));

/** Plants a bug: changes the text of a function of the ledger. */
async function plant(signature: string, from: string, to: string): Promise<void> {
  const { rows } = await ledger.db.query('select pg_get_functiondef($1::regprocedure) as def', [signature]);
  const def = String(rows[0].def);
  if (!def.includes(from)) throw new Error(`${signature} does not contain: ${from}`);
  await ledger.db.query(def.replaceAll(from, to));
}

const COMMIT = 'commit_jobs(text,jsonb)';
const SETTLE = 'settle_jobs(settlement[])';
const CLAIM = 'claim_jobs(text,text,integer,jsonb)';
const RETRY = 'retry_jobs(text,uuid[])';

/** A run of everything that may happen to a job, without a bug. */
async function runEverything(): Promise<void> {
  const webhook = { url: 'https://example.com/' };
  await run(await submit({ webhook }), SUCCESS);
  const flaky = await submit();
  await run(flaky, RETRYABLE);
  await look();
  await run(flaky, SUCCESS);
  const failed = await submit({ webhook });
  await run(failed, TERMINAL);
  await look();
  await retry(failed);
  await retry(failed);
  await run(failed, RETRYABLE);
  await run(failed, SUCCESS);
  await cancel(await submit());
  const running = await submit();
  const delivery = await claim(running);
  await workers[0]?.renew([{ id: running, lease: 1, progress: { fraction: 0.5, message: '' } }], {
    types: ['echo'],
    concurrency: 1,
  });
  await cancel(running);
  await commit(delivery, { outcome: 'cancelled' });
  const moved = await submit({ retries: 0 });
  await run(moved, HAND_BACK);
  const lost = await claim(moved);
  recorder.injected('worker paused', [moved]);
  await expire(moved);
  const second = await claim(moved, 1);
  await commit(lost, SUCCESS);
  await commit(second, SUCCESS, 1);
  const held = await submit();
  await suspendJob(ledger.db, held, true);
  await suspendJob(ledger.db, held, false);
  await run(held, SUCCESS);
  const key = { scope: 'idempotency', key: 'k', bodySha256: 'b', ttlSeconds: 60 } as const;
  await run(await submit({ uniqueKey: key }), SUCCESS);
  await submit({ uniqueKey: key });
  await submit({ uniqueKey: { ...key, bodySha256: 'other' } });
  const unknown = newJob();
  recorder.invoke('submit', { jobId: unknown.id }).info('the connection broke');
  await acceptJobs(ledger.db, [unknown]);
  await run(unknown.id, SUCCESS);
  await look();
}

describe('a run without a bug', () => {
  it('is held, and every rule had something to judge', async () => {
    await runEverything();
    const report = await check({ minJobs: 9, minInjections: 1 });
    expect(report.reasons).toEqual([]);
    expect(report.verdict).toBe('held');
    expect(report.counts).toEqual({
      acknowledged: 9,
      lost: 0,
      unexpected: 0,
      duplicated: 0,
      recovered: 1,
      fenced: 1 + 1 + 1 + 2,
      redelivered: 2,
      twins: 1,
      charged: 2,
    });
    const idle = report.findings.filter((f) => f.verdict === 'proved-nothing').map((f) => f.what);
    // Nothing is live or in the window at the end, nothing was applied and no blob stored.
    expect(idle.sort()).toEqual([
      'admitted jobs of a namespace fit its window',
      'an applied object has one job',
      'expired leases are recovered within 60 s',
      'no blob without an owner for two hours',
      'no lease reaches further ahead than one lease',
      'no unfinished job has lost its blobs',
    ]);
  });

  it('that was too small, or without a fault, proved nothing', async () => {
    await run(await submit(), SUCCESS);
    expect(await check({ minJobs: 2 })).toMatchObject({ verdict: 'proved-nothing' });
    expect(await check({ minInjections: 1 })).toMatchObject({ verdict: 'proved-nothing' });
    expect(await check()).toMatchObject({ verdict: 'held' });
  });

  it('proves nothing about an empty ledger', async () => {
    const findings = await auditLedger(ledger.db, { atRest: true });
    expect(new Set(findings.map((finding) => finding.verdict))).toEqual(new Set(['proved-nothing']));
  });

  it('is judged from a moment on', async () => {
    await run(await submit(), SUCCESS);
    await ledger.db.query('delete from events');
    expect(await audit()).toContain('I15');
    expect(await audit({ sinceMs: Date.now() + 1_000 })).toEqual([]);
  });
});

describe('the checker finds', () => {
  it('a commit without the lease condition', async () => {
    await plant(COMMIT, 'jobs.lease = i.lease and jobs.lease_until', 'jobs.lease_until');
    const id = await submit();
    const stale = await claim(id);
    recorder.injected('worker paused', [id]);
    await expire(id);
    await claim(id, 1);
    await commit(stale, SUCCESS);
    const report = await check();
    expect(report.verdict).toBe('broken');
    expect(brokenOf(report.findings)).toEqual(['I5']);
  });

  it('a lease that is given out twice', async () => {
    const id = await submit();
    await run(id, RETRYABLE);
    await ledger.db.query('update jobs set lease = 0 where id = $1', [id]);
    await claim(id);
    expect(brokenOf((await check({ atRest: false })).findings)).toContain('I5');
    expect(await audit()).toContain('I5');
  });

  it('a retry that opens two attempts', async () => {
    await plant(RETRY, 'attempt = attempt + 1', 'attempt = attempt + 2');
    const id = await submit();
    await run(id, TERMINAL);
    await retry(id);
    expect(await audit()).toEqual(['I3']);
  });

  it('a retry that opens another attempt when it is sent twice', async () => {
    await plant(RETRY, 'elsif v_job.finished_at is null then', 'elsif false then');
    const id = await submit();
    await run(id, TERMINAL);
    await retry(id);
    await retry(id);
    expect(await audit()).toContain('I3');
  });

  it('a success that is retried', async () => {
    await plant(RETRY, `elsif v_job.status = 'SUCCESS' then`, 'elsif false then');
    const id = await submit();
    await run(id, SUCCESS);
    await look();
    await retry(id);
    const report = await check({ atRest: false });
    expect(brokenOf(report.findings)).toEqual(expect.arrayContaining(['I3', 'I4']));
  });

  it('a hand-back that charges an attempt', async () => {
    await plant(SETTLE, `(b.fate = 'retrying')::integer`, `(b.fate in ('retrying', 'reopened'))::integer`);
    const id = await submit();
    await run(id, HAND_BACK);
    expect(await audit()).toContain('I7');
  });

  it('an expiry that leaves no trace', async () => {
    await plant(SETTLE, 'where b.outcome is not null', `where b.outcome not in ('expired')`);
    const id = await submit();
    await claim(id);
    await expire(id);
    expect(await audit()).toContain('I5');
  });

  it('a result that is overwritten', async () => {
    const id = await submit();
    await run(id, SUCCESS);
    await look();
    await ledger.db.query(`update jobs set result = '"another"' where id = $1`, [id]);
    const report = await check();
    expect(report.verdict).toBe('broken');
    expect(brokenOf(report.findings)).toEqual(['I4']);
  });

  it('a result of a job that failed', async () => {
    await plant(SETTLE, `result = case when b.fate = 'SUCCESS' then b.result end`, `result = '1'`);
    await run(await submit(), TERMINAL);
    expect(await audit()).toEqual(['I4']);
  });

  it('a job whose row was deleted', async () => {
    const id = await submit();
    await run(await submit(), SUCCESS);
    await ledger.db.query('delete from jobs where id = $1', [id]);
    const report = await check();
    expect(brokenOf(report.findings)).toEqual(['I14', 'I1']);
    expect(report.counts.lost).toBe(1);
  });

  it('a job that was gone for a while', async () => {
    const id = await submit();
    await run(id, SUCCESS);
    snapshots.push({ t: recorder.now(), jobs: new Map() });
    expect(brokenOf((await check()).findings)).toEqual(['I1']);
  });

  it('a job that nobody submitted', async () => {
    await run(await submit(), SUCCESS);
    const twin = newJob();
    await acceptJobs(ledger.db, [twin]);
    await run(twin.id, SUCCESS);
    const report = await check();
    expect(brokenOf(report.findings)).toEqual(['I2']);
    expect(report.counts.unexpected).toBe(1);
  });

  it('an event that is missing', async () => {
    await ledger.db.query(`create or replace function add_event(p_job uuid, p_seq bigint, p_type text, p_data jsonb) returns void
      language sql as $$ insert into longshore.events select p_job, p_seq, p_type, now(), p_data where p_type <> 'suspended' $$`);
    const id = await submit();
    await suspendJob(ledger.db, id, true);
    expect(await audit()).toEqual(['I15']);
  });

  it('a success after an acknowledged cancellation', async () => {
    await plant(COMMIT, `d.cancelling and d.outcome <> 'failed'`, 'false');
    const id = await submit();
    const delivery = await claim(id);
    await cancel(id);
    await commit(delivery, SUCCESS);
    const { findings } = await check();
    const names = findings.filter((f) => f.invariant === 'I13').map((f) => f.verdict);
    expect(names).toEqual(['broken', 'broken']);
  });

  it('a cancellation that was only in memory', async () => {
    const id = await submit();
    recorder.invoke('cancel', { jobId: id }).ok(id, 200);
    await run(id, SUCCESS);
    expect(brokenOf((await check()).findings)).toEqual(['I13']);
  });

  it('a lease by the clock of a worker', async () => {
    await claim(await submit());
    await ledger.db.query(`update jobs set lease_until = now() + interval '5 minutes'`);
    expect(await audit()).toEqual(['I6']);
  });

  it('a lease that nobody recovers, and a job that never ends', async () => {
    await claim(await submit());
    await ledger.db.query(`update jobs set lease_until = now() - interval '61 seconds'`);
    expect(await audit()).toEqual(['I14']);
    expect(brokenOf((await check()).findings)).toEqual(['I14']);
  });

  it('two deliveries at once', async () => {
    await plant(CLAIM, `when h.lease_until is not null then 'leased'`, '');
    const id = await submit();
    await claim(id);
    await claim(id, 1);
    const { findings } = await check({ atRest: false });
    expect(brokenOf(findings)).toEqual(expect.arrayContaining(['I5', 'I7']));
  });

  it('a window that is counted wrongly', async () => {
    for (let n = 0; n < 3; n += 1) await submit();
    await admitJobs(ledger.db, [{ namespace: 'default', type: 'echo', count: 3 }], { dispatch: false });
    expect(await audit({ windowSize: 3 })).toEqual([]);
    expect(await audit({ windowSize: 2 })).toEqual(['I8']);
    await ledger.db.query('update jobs set in_window = false');
    expect(await audit()).toEqual(['I8']);
  });

  it('idempotency that was kept elsewhere', async () => {
    const key = { scope: 'idempotency', key: 'k', bodySha256: 'b', ttlSeconds: 60 } as const;
    const first = await submit({ uniqueKey: key });
    await ledger.db.query('delete from unique_keys');
    const second = await submit({ uniqueKey: key });
    expect(second).not.toBe(first);
    expect(brokenOf((await check({ atRest: false })).findings)).toEqual(['I12']);
    await ledger.db.query('update unique_keys set job_id = gen_random_uuid()');
    expect(await audit()).toEqual(['I12']);
  });

  it('a webhook that was forgotten', async () => {
    await run(await submit({ webhook: { url: 'https://example.com/' } }), SUCCESS);
    await ledger.db.query('delete from webhooks');
    expect(await audit()).toEqual(['I15']);
  });

  it('a job that goes back', async () => {
    const id = await submit();
    await run(id, RETRYABLE);
    snapshots.push({
      t: recorder.now(),
      jobs: new Map([[id, { status: 'PROCESS', attempt: 3, version: 9, result: null }]]),
    });
    await run(id, SUCCESS);
    expect(brokenOf((await check()).findings)).toEqual(['I16']);
  });
});
