import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { admitJobs } from '../../src/ledger/admission.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { suspendJob } from '../../src/ledger/jobs.ts';
import { brokenOf, CheckedRun, HAND_BACK, RETRYABLE, SUCCESS, TERMINAL } from '../support/checked-run.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';

let ledger: TestLedger;
let world: CheckedRun;

beforeEach(async () => {
  ledger = await createTestLedger();
  world = new CheckedRun(ledger);
});
afterEach(() => ledger.close());

const COMMIT = 'commit_jobs(text,jsonb)';
const SETTLE = 'settle_jobs(settlement[])';
const CLAIM = 'claim_jobs(text,text,integer,jsonb)';
const RETRY = 'retry_jobs(text,uuid[])';

describe('a run without a bug', () => {
  it('is held, and every rule had something to judge', async () => {
    await world.runEverything();
    const report = await world.check({ minJobs: 9, minInjections: 1 });
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
    await world.run(await world.submit(), SUCCESS);
    expect(await world.check({ minJobs: 2 })).toMatchObject({ verdict: 'proved-nothing' });
    expect(await world.check({ minInjections: 1 })).toMatchObject({ verdict: 'proved-nothing' });
    expect(await world.check()).toMatchObject({ verdict: 'held' });
  });

  it('proves nothing about an empty ledger', async () => {
    const findings = await auditLedger(ledger.db, { atRest: true });
    expect(new Set(findings.map((finding) => finding.verdict))).toEqual(new Set(['proved-nothing']));
  });

  it('is judged from a moment on', async () => {
    await world.run(await world.submit(), SUCCESS);
    await ledger.db.query('delete from events');
    expect(await world.audit()).toContain('I15');
    expect(await world.audit({ sinceMs: Date.now() + 1_000 })).toEqual([]);
  });
});

describe('the checker finds', () => {
  it('a commit without the lease condition', async () => {
    await world.plant(COMMIT, 'jobs.lease = i.lease and jobs.lease_until', 'jobs.lease_until');
    const id = await world.submit();
    const stale = await world.claim(id);
    world.recorder.injected('worker paused', [id]);
    await world.expire(id);
    await world.claim(id, 1);
    await world.commit(stale, SUCCESS);
    const report = await world.check();
    expect(report.verdict).toBe('broken');
    expect(brokenOf(report.findings)).toEqual(['I5']);
  });

  it('a lease that is given out twice', async () => {
    const id = await world.submit();
    await world.run(id, RETRYABLE);
    await ledger.db.query('update jobs set lease = 0 where id = $1', [id]);
    await world.claim(id);
    expect(brokenOf((await world.check({ atRest: false })).findings)).toContain('I5');
    expect(await world.audit()).toContain('I5');
  });

  it('a retry that opens two attempts', async () => {
    await world.plant(RETRY, 'attempt = attempt + 1', 'attempt = attempt + 2');
    const id = await world.submit();
    await world.run(id, TERMINAL);
    await world.retry(id);
    expect(await world.audit()).toEqual(['I3']);
  });

  it('a retry that opens another attempt when it is sent twice', async () => {
    await world.plant(RETRY, 'elsif v_job.finished_at is null then', 'elsif false then');
    const id = await world.submit();
    await world.run(id, TERMINAL);
    await world.retry(id);
    await world.retry(id);
    expect(await world.audit()).toContain('I3');
  });

  it('a success that is retried', async () => {
    await world.plant(RETRY, `elsif v_job.status = 'SUCCESS' then`, 'elsif false then');
    const id = await world.submit();
    await world.run(id, SUCCESS);
    await world.look();
    await world.retry(id);
    const report = await world.check({ atRest: false });
    expect(brokenOf(report.findings)).toEqual(expect.arrayContaining(['I3', 'I4']));
  });

  it('a hand-back that charges an attempt', async () => {
    await world.plant(
      SETTLE,
      `(b.fate = 'retrying')::integer`,
      `(b.fate in ('retrying', 'reopened'))::integer`,
    );
    const id = await world.submit();
    await world.run(id, HAND_BACK);
    expect(await world.audit()).toContain('I7');
  });

  it('an expiry that leaves no trace', async () => {
    await world.plant(SETTLE, 'where b.outcome is not null', `where b.outcome not in ('expired')`);
    const id = await world.submit();
    await world.claim(id);
    await world.expire(id);
    expect(await world.audit()).toContain('I5');
  });

  it('a result that is overwritten', async () => {
    const id = await world.submit();
    await world.run(id, SUCCESS);
    await world.look();
    await ledger.db.query(`update jobs set result = '"another"' where id = $1`, [id]);
    const report = await world.check();
    expect(report.verdict).toBe('broken');
    expect(brokenOf(report.findings)).toEqual(['I4']);
  });

  it('a result of a job that failed', async () => {
    await world.plant(SETTLE, `result = case when b.fate = 'SUCCESS' then b.result end`, `result = '1'`);
    await world.run(await world.submit(), TERMINAL);
    expect(await world.audit()).toEqual(['I4']);
  });

  it('a job whose row was deleted', async () => {
    const id = await world.submit();
    await world.run(await world.submit(), SUCCESS);
    await ledger.db.query('delete from jobs where id = $1', [id]);
    const report = await world.check();
    expect(brokenOf(report.findings)).toEqual(['I14', 'I1']);
    expect(report.counts.lost).toBe(1);
  });

  it('a job that was gone for a while', async () => {
    const id = await world.submit();
    await world.run(id, SUCCESS);
    world.snapshots.push({ t: world.recorder.now(), jobs: new Map() });
    expect(brokenOf((await world.check()).findings)).toEqual(['I1']);
  });

  it('a job that nobody submitted', async () => {
    await world.run(await world.submit(), SUCCESS);
    const twin = newJob();
    await acceptJobs(ledger.db, [twin]);
    await world.run(twin.id, SUCCESS);
    const report = await world.check();
    expect(brokenOf(report.findings)).toEqual(['I2']);
    expect(report.counts.unexpected).toBe(1);
  });

  it('an event that is missing', async () => {
    await ledger.db.query(`create or replace function add_event(p_job uuid, p_seq bigint, p_type text, p_data jsonb) returns void
      language sql as $$ insert into longshore.events select p_job, p_seq, p_type, now(), p_data where p_type <> 'suspended' $$`);
    const id = await world.submit();
    await suspendJob(ledger.db, id, true);
    expect(await world.audit()).toEqual(['I15']);
  });

  it('a success after an acknowledged cancellation', async () => {
    await world.plant(COMMIT, `d.cancelling and d.outcome <> 'failed'`, 'false');
    const id = await world.submit();
    const delivery = await world.claim(id);
    await world.cancel(id);
    await world.commit(delivery, SUCCESS);
    const { findings } = await world.check();
    const names = findings.filter((f) => f.invariant === 'I13').map((f) => f.verdict);
    expect(names).toEqual(['broken', 'broken']);
  });

  it('a cancellation that was only in memory', async () => {
    const id = await world.submit();
    world.recorder.invoke('cancel', { jobId: id }).ok(id, 200);
    await world.run(id, SUCCESS);
    expect(brokenOf((await world.check()).findings)).toEqual(['I13']);
  });

  it('a lease by the clock of a worker', async () => {
    await world.claim(await world.submit());
    await ledger.db.query(`update jobs set lease_until = now() + interval '5 minutes'`);
    expect(await world.audit()).toEqual(['I6']);
  });

  it('a lease that nobody recovers, and a job that never ends', async () => {
    await world.claim(await world.submit());
    await ledger.db.query(`update jobs set lease_until = now() - interval '61 seconds'`);
    expect(await world.audit()).toEqual(['I14']);
    expect(brokenOf((await world.check()).findings)).toEqual(['I14']);
  });

  it('two deliveries at once', async () => {
    await world.plant(CLAIM, `when h.lease_until is not null then 'leased'`, '');
    const id = await world.submit();
    await world.claim(id);
    await world.claim(id, 1);
    const { findings } = await world.check({ atRest: false });
    expect(brokenOf(findings)).toEqual(expect.arrayContaining(['I5', 'I7']));
  });

  it('a window that is counted wrongly', async () => {
    for (let n = 0; n < 3; n += 1) await world.submit();
    await admitJobs(ledger.db, [{ namespace: 'default', type: 'echo', count: 3 }], { dispatch: false });
    expect(await world.audit({ windowSize: 3 })).toEqual([]);
    expect(await world.audit({ windowSize: 2 })).toEqual(['I8']);
    await ledger.db.query('update jobs set in_window = false');
    expect(await world.audit()).toEqual(['I8']);
  });

  it('idempotency that was kept elsewhere', async () => {
    const key = { scope: 'idempotency', key: 'k', bodySha256: 'b', ttlSeconds: 60 } as const;
    const first = await world.submit({ uniqueKey: key });
    await ledger.db.query('delete from unique_keys');
    const second = await world.submit({ uniqueKey: key });
    expect(second).not.toBe(first);
    expect(brokenOf((await world.check({ atRest: false })).findings)).toEqual(['I12']);
    await ledger.db.query('update unique_keys set job_id = gen_random_uuid()');
    expect(await world.audit()).toEqual(['I12']);
  });

  it('a webhook that was forgotten', async () => {
    await world.run(await world.submit({ webhook: { url: 'https://example.com/' } }), SUCCESS);
    await ledger.db.query('delete from webhooks');
    expect(await world.audit()).toEqual(['I15']);
  });

  it('a job that goes back', async () => {
    const id = await world.submit();
    await world.run(id, RETRYABLE);
    world.snapshots.push({
      t: world.recorder.now(),
      jobs: new Map([[id, { status: 'PROCESS', attempt: 3, version: 9, result: null }]]),
    });
    await world.run(id, SUCCESS);
    expect(brokenOf((await world.check()).findings)).toEqual(['I16']);
  });
});
