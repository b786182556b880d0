import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NewJob } from '../../src/core/job.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import {
  admitJobs,
  countWaiting,
  countWindow,
  listUnconfirmed,
  recoverLeases,
  takeDispatches,
} from '../../src/ledger/admission.ts';
import { connectDatabase } from '../../src/ledger/database.ts';
import { cancelJobs, getJob, listJobs, retryJobs } from '../../src/ledger/jobs.ts';
import type { ClaimedJob } from '../../src/ledger/worker-ledger.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';

let ledger: TestLedger;
beforeAll(async () => {
  ledger = await createTestLedger(['echo', 'other']);
});
afterAll(async () => {
  await ledger?.close();
});

/** Accepts and admits one job, so that it can be claimed. */
async function dispatched(overrides: Partial<NewJob> = {}): Promise<NewJob> {
  const job = newJob(overrides);
  await acceptJobs(ledger.db, [job]);
  await admitJobs(ledger.db, [{ namespace: 'default', type: job.type, count: 1_000 }], { dispatch: true });
  return job;
}

async function claim(job: NewJob, lease = 0): Promise<ClaimedJob> {
  const [claimed] = await ledger.worker().claim([{ id: job.id, lease }]);
  if (claimed === undefined || 'refused' in claimed) throw new Error(`Refused: ${JSON.stringify(claimed)}`);
  return claimed;
}

describe('acceptance', () => {
  it('keeps what was submitted', async () => {
    const job = newJob({ labels: { team: 'a' }, priority: 7 });
    expect(await acceptJobs(ledger.db, [job])).toEqual([{ jobId: job.id, outcome: 'created' }]);
    const kept = await getJob(ledger.db, 'default', job.id);
    expect(kept).toMatchObject({
      id: job.id,
      status: 'CREATED',
      input: { hello: 'world' },
      labels: { team: 'a' },
      priority: 7,
      attempt: 1,
      version: 1,
    });
    expect(await getJob(ledger.db, 'elsewhere', job.id)).toBeNull();
  });

  it('makes one job of one key, however many submit it at once', async () => {
    const key = { scope: 'idempotency', key: 'k1', bodySha256: 'x', ttlSeconds: 60 } as const;
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => acceptJobs(ledger.db, [newJob({ uniqueKey: key })])),
    );
    expect(new Set(answers.flat().map((a) => a.jobId)).size).toBe(1);
    expect(answers.flat().filter((a) => a.outcome === 'created')).toHaveLength(1);
    const other = await acceptJobs(ledger.db, [newJob({ uniqueKey: { ...key, bodySha256: 'y' } })]);
    expect(other[0]?.outcome).toBe('conflict');
  });

  it('lets a new job take the place of a failed one under a contract key', async () => {
    const uniqueKey = { scope: 'contract', key: '1:0xabc', bodySha256: 'x', ttlSeconds: 60 } as const;
    const first = newJob({ uniqueKey });
    await acceptJobs(ledger.db, [first]);
    expect((await acceptJobs(ledger.db, [newJob({ uniqueKey })]))[0]).toEqual({
      jobId: first.id,
      outcome: 'existing',
    });
    await cancelJobs(ledger.db, 'default', [first.id]);
    const second = newJob({ uniqueKey });
    expect((await acceptJobs(ledger.db, [second]))[0]).toEqual({ jobId: second.id, outcome: 'created' });
  });

  it('is all or nothing', async () => {
    const good = newJob();
    const bad = newJob({ priority: 1_000 });
    await expect(acceptJobs(ledger.db, [good, bad])).rejects.toThrow();
    expect(await getJob(ledger.db, 'default', good.id)).toBeNull();
  });
});

describe('a delivery', () => {
  it('is claimed once, committed once', async () => {
    const job = await dispatched();
    const claimed = await claim(job);
    expect(claimed).toMatchObject({ lease: 1, attempt: 1, input: { hello: 'world' } });
    expect(await ledger.worker().claim([{ id: job.id, lease: 0 }])).toEqual([{ refused: 'stale' }]);
    expect(await ledger.worker().claim([{ id: job.id, lease: 1 }])).toEqual([{ refused: 'leased' }]);
    const commit = { id: job.id, lease: 1, outcome: 'succeeded' as const, result: { n: 1 }, blobs: [] };
    expect(await ledger.worker().commit([commit])).toEqual([{ verdict: 'committed', status: 'SUCCESS' }]);
    expect(await ledger.worker().commit([commit])).toEqual([{ verdict: 'committed', status: 'SUCCESS' }]);
    const done = await getJob(ledger.db, 'default', job.id);
    expect(done).toMatchObject({ status: 'SUCCESS', result: { n: 1 }, version: 3 });
    const events = await ledger.db.query('select seq, type from events where job_id = $1 order by seq', [
      job.id,
    ]);
    expect(events.rows).toEqual([
      { seq: 1, type: 'accepted' },
      { seq: 2, type: 'started' },
      { seq: 3, type: 'succeeded' },
    ]);
  });

  it('commits nothing without the current lease', async () => {
    const job = await dispatched();
    await claim(job);
    await ledger.db.query("update jobs set lease_until = now() - interval '1 second' where id = $1", [
      job.id,
    ]);
    expect(
      await recoverLeases(ledger.db, { leaseSeconds: 30, maxInterruptions: 5, limit: 10 }),
    ).toContainEqual({
      jobId: job.id,
      outcome: 'reopened',
    });
    const late = await ledger
      .worker()
      .commit([{ id: job.id, lease: 1, outcome: 'succeeded', result: 1, blobs: [] }]);
    expect(late).toEqual([{ verdict: 'fenced', status: 'PROCESS' }]);
    const again = await takeDispatches(ledger.db, { limit: 10, ids: [job.id] });
    expect(again).toMatchObject([{ id: job.id, attempt: 1, lease: 1 }]);
    expect(await claim(job, 1)).toMatchObject({ lease: 2, attempt: 1, interruptions: 1 });
  });

  it('ends a job that stops its workers five times', async () => {
    const job = await dispatched();
    for (let lease = 0; lease < 5; lease += 1) {
      await takeDispatches(ledger.db, { limit: 10, ids: [job.id] });
      await claim(job, lease);
      await ledger.db.query("update jobs set lease_until = now() - interval '1 second' where id = $1", [
        job.id,
      ]);
      await recoverLeases(ledger.db, { leaseSeconds: 30, maxInterruptions: 5, limit: 10 });
    }
    expect(await getJob(ledger.db, 'default', job.id)).toMatchObject({
      status: 'ERROR',
      error: { code: 'TooManyInterruptions' },
      failures: 0,
    });
  });

  it('is tried again after a retryable error, as often as allowed', async () => {
    const job = await dispatched({ retries: 1 });
    await claim(job);
    const error = { code: 'UpstreamDown', message: 'no', retryable: true };
    const fail = (lease: number) => ledger.worker().commit([{ id: job.id, lease, outcome: 'failed', error }]);
    expect(await fail(1)).toEqual([{ verdict: 'committed', status: 'PROCESS' }]);
    await ledger.db.query('update jobs set run_at = now() where id = $1', [job.id]);
    await takeDispatches(ledger.db, { limit: 10, ids: [job.id] });
    expect(await claim(job, 1)).toMatchObject({ lease: 2, attempt: 2 });
    expect(await fail(2)).toEqual([{ verdict: 'committed', status: 'ERROR' }]);
    expect(await retryJobs(ledger.db, 'default', [job.id])).toEqual(new Map([[job.id, 'retried']]));
    expect(await retryJobs(ledger.db, 'default', [job.id])).toEqual(new Map([[job.id, 'unfinished']]));
    expect(await getJob(ledger.db, 'default', job.id)).toMatchObject({
      status: 'CREATED',
      attempt: 3,
      failures: 0,
    });
  });

  it('never succeeds after its cancellation was answered', async () => {
    const job = await dispatched();
    await claim(job);
    expect(await cancelJobs(ledger.db, 'default', [job.id])).toEqual(new Map([[job.id, 'requested']]));
    const renewed = await ledger
      .worker()
      .renew([{ id: job.id, lease: 1 }], { types: ['echo'], concurrency: 1 });
    expect(renewed).toEqual(new Map([[job.id, 'cancel']]));
    const commit = await ledger
      .worker()
      .commit([{ id: job.id, lease: 1, outcome: 'succeeded', result: 1, blobs: [] }]);
    expect(commit).toEqual([{ verdict: 'committed', status: 'CANCELLED' }]);
    expect(await getJob(ledger.db, 'default', job.id)).toMatchObject({ status: 'CANCELLED', result: null });
  });

  it('handed back costs nothing', async () => {
    const job = await dispatched();
    await claim(job);
    await ledger.worker().commit([{ id: job.id, lease: 1, outcome: 'handed_back', delayMs: 120_000 }]);
    const row = await getJob(ledger.db, 'default', job.id);
    expect(row).toMatchObject({
      status: 'PROCESS',
      attempt: 1,
      failures: 0,
      interruptions: 0,
      admittedAtMs: null,
    });
  });

  it('keeps within the limits of its type', async () => {
    await ledger.db.query("insert into job_types (name, definition, max_running) values ('other', '{}', 1)");
    const [first, second] = [await dispatched({ type: 'other' }), await dispatched({ type: 'other' })];
    const answers = await ledger.worker().claim([
      { id: first.id, lease: 0 },
      { id: second.id, lease: 0 },
    ]);
    expect(answers[0]).toMatchObject({ lease: 1 });
    expect(answers[1]).toEqual({ refused: 'limited' });
  });
});

describe('the window', () => {
  it('is counted in the ledger, and gives places back at the end', async () => {
    const before = (await countWindow(ledger.db)).find((w) => w.type === 'echo')?.live ?? 0;
    const job = newJob();
    await acceptJobs(ledger.db, [job]);
    expect(await countWaiting(ledger.db, [{ namespace: 'default', type: 'echo' }], 1_000)).toMatchObject([
      { type: 'echo' },
    ]);
    const admitted = await admitJobs(ledger.db, [{ namespace: 'default', type: 'echo', count: 1_000 }], {
      dispatch: true,
    });
    expect(admitted.map((d) => d.id)).toContain(job.id);
    expect((await listUnconfirmed(ledger.db, -1_000, 1_000)).map((d) => d.id)).toContain(job.id);
    await cancelJobs(ledger.db, 'default', [job.id]);
    const after = (await countWindow(ledger.db)).find((w) => w.type === 'echo')?.live ?? 0;
    expect(after).toBe(before + admitted.length - 1);
  });
});

describe('pages', () => {
  it('walk through a filter without gaps', async () => {
    const jobs = Array.from({ length: 7 }, (_, n) => newJob({ labels: { page: 'yes' }, priority: n }));
    await acceptJobs(ledger.db, jobs);
    const filter = { namespace: 'default', label: { key: 'page', value: 'yes' } };
    const first = await listJobs(ledger.db, filter, { limit: 4, beforeId: null });
    const second = await listJobs(ledger.db, filter, { limit: 4, beforeId: first[3]?.id ?? null });
    expect([...first, ...second].map((j) => j.id)).toEqual(jobs.map((j) => j.id).reverse());
  });
});

describe('the worker role', () => {
  it('may execute its functions and nothing else', async () => {
    const pool = connectDatabase({
      url: ledger.workerUrl,
      applicationName: 'intruder',
      maxConnections: 1,
      logger: silentLogger,
    });
    try {
      for (const sql of [
        'select * from longshore.jobs',
        "insert into longshore.pools values ('default', 'x', '{}', '\\x00')",
        "select longshore.settle_jobs('{}')",
        "select longshore.cancel_jobs('default', '{}')",
        'select * from longshore.api_keys',
        'create table longshore.mine ()',
      ]) {
        await expect(pool.query(sql), sql).rejects.toMatchObject({ code: '42501' });
      }
      await expect(pool.query("select longshore.claim_jobs('guess', 'w', 30, '[]')")).rejects.toMatchObject({
        code: '28000',
      });
    } finally {
      await pool.end();
    }
  });
});
