import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { NewJob } from '../../src/core/job.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { recoverLeases } from '../../src/ledger/admission.ts';
import type { Queryable } from '../../src/ledger/database.ts';
import { cancelJobs, getJob, retryJobs } from '../../src/ledger/jobs.ts';
import { WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

/**
 * Two transactions on one job, in both orders of arrival: the first holds its locks while the second's statement already
 * waits. Whichever commits first, there is one outcome.
 */
let ledger: TestLedger;
let first: pg.Client;
let second: pg.Client;

beforeAll(async () => {
  ledger = await createTestLedger(['echo']);
});
afterAll(() => ledger.close());
beforeEach(async () => {
  [first, second] = await Promise.all([session(), session()]);
});
afterEach(() => Promise.all([first.end(), second.end()]));

async function session(): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: ledger.url,
    options: '-c search_path=longshore',
    statement_timeout: 10_000,
  });
  await client.connect();
  return client;
}

/** Runs `a` in an open transaction of the first session, starts `b` in the second, sees it wait, then commits both. */
async function cross<A, B>(
  a: (db: Queryable) => Promise<A>,
  b: (db: Queryable) => Promise<B>,
  waits = true,
): Promise<[A, B]> {
  await first.query('begin');
  await second.query('begin');
  const before = await a(first as unknown as Queryable);
  const { rows } = await first.query('select $1::integer as pid', [
    (second as unknown as { processID: number }).processID,
  ]);
  const after = b(second as unknown as Queryable);
  after.catch(() => {});
  if (waits) await whenWaiting(rows[0].pid);
  else await after;
  await first.query('commit');
  const result = await after;
  await second.query('commit');
  return [before, result];
}

async function whenWaiting(pid: number): Promise<void> {
  await waitFor(
    async () => {
      const { rows } = await ledger.db.query('select wait_event_type from pg_stat_activity where pid = $1', [
        pid,
      ]);
      return rows[0]?.wait_event_type === 'Lock';
    },
    { describe: 'the second session to wait for the first' },
  );
}

function worker(db: Queryable, workerId = 'w'): WorkerLedger {
  return new WorkerLedger(db, { secret: ledger.poolSecret, workerId, leaseSeconds: 30 });
}

async function accepted(overrides: Partial<NewJob> = {}): Promise<string> {
  const job = newJob(overrides);
  await acceptJobs(ledger.db, [job]);
  return job.id;
}

async function claimed(): Promise<string> {
  const id = await accepted();
  await worker(ledger.db).claim([{ id, lease: 0 }]);
  return id;
}

const expire = (id: string) =>
  ledger.db.query("update jobs set lease_until = now() - interval '1 second' where id = $1", [id]);
const succeed = (id: string, result: string) => (db: Queryable) =>
  worker(db).commit([{ id, lease: 1, outcome: 'succeeded', result, blobs: [] }]);
const recover = (db: Queryable) => recoverLeases(db, { leaseSeconds: 30, maxInterruptions: 5, limit: 100 });
const cancel = (id: string) => async (db: Queryable) => (await cancelJobs(db, 'default', [id])).get(id);
const retry = (id: string) => async (db: Queryable) => (await retryJobs(db, 'default', [id])).get(id);

/** The job's events are 1…version without a gap, and it has at most one result. */
async function expectSound(id: string): Promise<void> {
  const { rows } = await ledger.db.query(
    `select j.version, array(select seq from events e where e.job_id = j.id order by seq) as seqs,
       (select count(*)::integer from attempts a where a.job_id = j.id and outcome = 'succeeded') as results
     from jobs j where j.id = $1`,
    [id],
  );
  expect(rows[0]?.seqs.map(Number)).toEqual(Array.from({ length: rows[0]?.version }, (_, n) => n + 1));
  expect(rows[0]?.results).toBeLessThanOrEqual(1);
}

describe('two sessions on one job', () => {
  it('claim × claim: one is granted, the other refused', async () => {
    const id = await accepted();
    const claim = (workerId: string) => (db: Queryable) => worker(db, workerId).claim([{ id, lease: 0 }]);
    const [[one], [two]] = await cross(claim('a'), claim('b'));
    expect(one).toMatchObject({ lease: 1 });
    expect(two).toMatchObject({ refused: expect.stringMatching(/stale|leased/) });
    await expectSound(id);
  });

  it('claim × cancel: the running job is asked to end', async () => {
    const id = await accepted();
    const [, outcome] = await cross((db) => worker(db).claim([{ id, lease: 0 }]), cancel(id));
    expect(outcome).toBe('requested');
    await expectSound(id);
  });

  it('cancel × claim: the cancelled job is not started', async () => {
    const id = await accepted();
    const [, [answer]] = await cross(cancel(id), (db) => worker(db).claim([{ id, lease: 0 }]));
    expect(answer).toEqual({ refused: 'finished' });
    await expectSound(id);
  });

  it('commit × recover: recovery passes by what is being committed', async () => {
    const id = await claimed();
    await expire(id);
    const [[committed], recovered] = await cross(succeed(id, 'late'), recover, false);
    expect(committed).toEqual({ verdict: 'committed', status: 'SUCCESS' });
    expect(recovered).toEqual([]);
    expect(await recover(ledger.db)).toEqual([]);
    await expectSound(id);
  });

  it('recover × commit: the late commit is fenced', async () => {
    const id = await claimed();
    await expire(id);
    const [recovered, [committed]] = await cross(recover, succeed(id, 'late'));
    expect(recovered).toEqual([{ jobId: id, outcome: 'reopened' }]);
    expect(committed).toEqual({ verdict: 'fenced', status: 'PROCESS' });
    expect(await getJob(ledger.db, 'default', id)).toMatchObject({ status: 'PROCESS', result: null });
    await cancelJobs(ledger.db, 'default', [id]);
    await expectSound(id);
  });

  it('commit × cancel: what is committed stays', async () => {
    const id = await claimed();
    const [[committed], outcome] = await cross(succeed(id, 'done'), cancel(id));
    expect(committed).toEqual({ verdict: 'committed', status: 'SUCCESS' });
    expect(outcome).toBe('finished');
    await expectSound(id);
  });

  it('cancel × commit: after the cancellation there is no success', async () => {
    const id = await claimed();
    const [outcome, [committed]] = await cross(cancel(id), succeed(id, 'done'));
    expect(outcome).toBe('requested');
    expect(committed).toEqual({ verdict: 'committed', status: 'CANCELLED' });
    expect(await getJob(ledger.db, 'default', id)).toMatchObject({ status: 'CANCELLED', result: null });
    await expectSound(id);
  });

  it('commit × commit of one delivery: one result, and both hear of it', async () => {
    const id = await claimed();
    const [[one], [two]] = await cross(succeed(id, 'first'), succeed(id, 'second'));
    expect([one?.verdict, two?.verdict]).toEqual(['committed', 'committed']);
    expect(await getJob(ledger.db, 'default', id)).toMatchObject({ result: 'first' });
    await expectSound(id);
  });

  it('renew × recover: a lease that is being renewed is not taken', async () => {
    const id = await claimed();
    await expire(id);
    const [verdicts, recovered] = await cross(
      (db) => worker(db).renew([{ id, lease: 1 }], { types: ['echo'], concurrency: 1 }),
      recover,
      false,
    );
    expect(verdicts.get(id)).toBe('renewed');
    expect(recovered).toEqual([]);
    expect(await recover(ledger.db)).toEqual([]);
    await cancelJobs(ledger.db, 'default', [id]);
  });

  it('recover × renew: the worker learns that its lease is lost', async () => {
    const id = await claimed();
    await expire(id);
    const [, verdicts] = await cross(recover, (db) =>
      worker(db).renew([{ id, lease: 1 }], { types: ['echo'], concurrency: 1 }),
    );
    expect(verdicts.get(id)).toBe('lost');
    await expectSound(id);
  });

  it('retry × retry: one further attempt', async () => {
    const id = await accepted();
    await cancelJobs(ledger.db, 'default', [id]);
    expect(await cross(retry(id), retry(id))).toEqual(['retried', 'unfinished']);
    expect(await getJob(ledger.db, 'default', id)).toMatchObject({ status: 'CREATED', attempt: 2 });
    await expectSound(id);
  });

  it('accept × accept under one key: one job', async () => {
    const uniqueKey = { scope: 'idempotency' as const, key: 'one', bodySha256: 'same', ttlSeconds: 60 };
    const [a, b] = [newJob({ uniqueKey }), newJob({ uniqueKey })];
    const [[one], [two]] = await cross(
      (db) => acceptJobs(db, [a]),
      (db) => acceptJobs(db, [b]),
    );
    expect([one, two]).toEqual([
      { jobId: a.id, outcome: 'created' },
      { jobId: a.id, outcome: 'existing' },
    ]);
    expect(await getJob(ledger.db, 'default', b.id)).toBeNull();
  });

  it('accept × accept of two batches with the same keys in opposite order: no deadlock, one job a key', async () => {
    const keyed = (key: string) =>
      newJob({ uniqueKey: { scope: 'idempotency', key, bodySha256: 'same', ttlSeconds: 60 } });
    const forth = ['k1', 'k2', 'k3'].map(keyed);
    const back = ['k3', 'k2', 'k1'].map(keyed);
    const [one, two] = await cross(
      (db) => acceptJobs(db, forth),
      (db) => acceptJobs(db, back),
    );
    expect(one.map(({ outcome }) => outcome)).toEqual(['created', 'created', 'created']);
    expect(two.map(({ jobId }) => jobId)).toEqual(forth.map(({ id }) => id).reverse());
  });

  it('claim × claim of two batches in opposite order: no deadlock, each job once', async () => {
    const ids = [await accepted(), await accepted(), await accepted()];
    const claim = (order: string[], workerId: string) => (db: Queryable) =>
      worker(db, workerId).claim(order.map((id) => ({ id, lease: 0 })));
    const [one, two] = await cross(claim(ids, 'a'), claim([...ids].reverse(), 'b'));
    expect(one.filter((answer) => !('refused' in answer))).toHaveLength(3);
    expect(two.filter((answer) => 'refused' in answer)).toHaveLength(3);
  });
});

describe('many rounds of a race', () => {
  it('claim, commit, recover, cancel and retry at once, 100 times: one end each, events without a gap', async () => {
    const workers = ['a', 'b'].map((id) => ledger.worker(`race-${id}`));
    for (let round = 0; round < 100; round += 1) {
      const id = await accepted();
      const run = async (view: WorkerLedger) => {
        const [answer] = await view.claim([{ id, lease: 0 }]);
        if (answer === undefined || 'refused' in answer) return null;
        await expire(id);
        const [committed] = await view.commit([
          { id, lease: answer.lease, outcome: 'succeeded', result: round, blobs: [] },
        ]);
        return committed?.verdict ?? null;
      };
      await Promise.all([
        ...workers.map(run),
        recover(ledger.db),
        round % 2 === 0 ? cancelJobs(ledger.db, 'default', [id]) : recover(ledger.db),
        round % 3 === 0 ? retryJobs(ledger.db, 'default', [id]) : recover(ledger.db),
      ]);
      await expectSound(id);
    }
  });
});
