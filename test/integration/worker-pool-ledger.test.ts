import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { admitJobs, takeDispatches } from '../../src/ledger/admission.ts';
import { findJobType } from '../../src/ledger/job-types.ts';
import { listServedTypes, putPool } from '../../src/ledger/pools.ts';
import { WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import {
  countRunningByWorker,
  deleteWorkerPool,
  type LedgerWorkerPool,
  listWorkerPools,
  pauseWorkerPool,
  putWorkerPool,
  readConnectionLimit,
} from '../../src/ledger/worker-pools.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';

let ledger: TestLedger;
let namespace = '';
let count = 0;

beforeAll(async () => {
  ledger = await createTestLedger([]);
});
afterAll(() => ledger.close());
beforeEach(() => {
  count += 1;
  namespace = `shop-${count}`;
});

function pool(changes: Partial<LedgerWorkerPool> = {}): LedgerWorkerPool {
  return {
    namespace,
    name: 'a',
    types: ['echo'],
    scale: { maxReplicas: 2, jobsPerReplica: 5, paused: false },
    resourceUid: 'uid-1',
    capacity: 10,
    declares: [],
    ...changes,
  };
}

const secret = () => `secret-of-${namespace}`;
const put = (changes: Partial<LedgerWorkerPool> = {}) => putWorkerPool(ledger.db, pool(changes), secret());
const ref = (resourceUid = 'uid-1') => ({ namespace, name: 'a', resourceUid });
const mine = { name: 'mine', description: '', inputSchema: {}, resultSchema: {}, defaults: {} };
const declared = { ...mine, limits: { maxRunning: null, rate: null } };

async function served(): Promise<object[]> {
  return (await listServedTypes(ledger.db, 45)).filter((type) => type.namespace === namespace);
}

/** Tries to claim a job that is on its queue. */
async function claimOne() {
  const [accepted] = await acceptJobs(ledger.db, [newJob({ namespace, type: 'echo' })]);
  await admitJobs(ledger.db, [{ namespace, type: 'echo', count: 1 }], { dispatch: true });
  const worker = new WorkerLedger(ledger.db, {
    secret: secret(),
    workerId: 'pod-1-00000000',
    leaseSeconds: 30,
  });
  const [answer] = await worker.claim([{ id: accepted?.jobId ?? '', lease: 0 }]);
  return { answer, worker };
}

describe('a WorkerPool in the ledger', () => {
  it('serves its types while it has no pod; a pool of the command line does not', async () => {
    await putPool(ledger.db, { namespace, name: 'cli', types: ['other'] }, `cli-${namespace}`);
    await put();
    expect(await served()).toEqual([{ namespace, type: 'echo', capacity: 10 }]);
  });

  it('serves no less than its workers say, and counts them once', async () => {
    await put();
    const { worker } = await claimOne();
    await worker.renew([], { types: ['echo'], concurrency: 25 });
    expect(await served()).toEqual([{ namespace, type: 'echo', capacity: 25 }]);
  });

  it('that pauses serves nothing, whatever workers are there, and starts nothing', async () => {
    await put();
    const { answer, worker } = await claimOne();
    expect(answer).toMatchObject({ namespace });
    await worker.renew([], { types: ['echo'], concurrency: 1 });
    await pauseWorkerPool(ledger.db, ref());
    expect(await served()).toEqual([]);
    const { answer: refused } = await claimOne();
    expect(refused).toEqual({ refused: 'limited' });
    // It comes back to the queue, later: not at once, and not never.
    expect(await takeDispatches(ledger.db, { limit: 10 })).toEqual([]);
    const { rows } = await ledger.db.query(
      `select extract(epoch from run_at - now())::double precision as seconds from jobs
       where namespace = $1 and lease_until is null`,
      [namespace],
    );
    expect(rows[0]?.seconds).toBeGreaterThan(3);
    expect(rows[0]?.seconds).toBeLessThanOrEqual(5);
  });

  it('forgets the types that it does not declare any more, and those of others never', async () => {
    await put({ declares: [declared, { ...declared, name: 'yours' }] });
    await putPool(ledger.db, { namespace, name: 'other', types: [] }, `other-${namespace}`);
    await put({ declares: [declared] });
    expect(await findJobType(ledger.db, namespace, 'mine')).not.toBeNull();
    expect(await findJobType(ledger.db, namespace, 'yours')).toBeNull();
    await deleteWorkerPool(ledger.db, ref());
    expect(await findJobType(ledger.db, namespace, 'mine')).toBeNull();
  });

  it('is not taken for an earlier one of the same name', async () => {
    await put({ resourceUid: 'uid-2' });
    await pauseWorkerPool(ledger.db, ref('uid-1'));
    await deleteWorkerPool(ledger.db, ref('uid-1'));
    expect(await served()).toHaveLength(1);
    expect(await listWorkerPools(ledger.db)).toContainEqual(ref('uid-2'));
    await deleteWorkerPool(ledger.db, ref('uid-2'));
    expect(await served()).toEqual([]);
  });

  it('whose types cannot be kept is not kept either', async () => {
    await expect(put({ declares: [{ ...declared, description: 'a\0b' }] })).rejects.toThrow();
    expect(await listWorkerPools(ledger.db)).not.toContainEqual(ref());
  });

  it('knows which of its workers run jobs', async () => {
    await put();
    await claimOne();
    await claimOne();
    const running = await countRunningByWorker(ledger.db, namespace, ['echo']);
    expect(running).toEqual(new Map([['pod-1-00000000', 2]]));
  });
});

describe('connections', () => {
  it('are those of the server, less a reserve', async () => {
    const all = await readConnectionLimit(ledger.db, 'nobody', 0);
    const rest = await readConnectionLimit(ledger.db, 'nobody', 10);
    expect(all.available - rest.available).toBe(10);
    expect(rest.source).toContain('max_connections less 10');
  });

  it("are at most those of the workers' login", async () => {
    const login = `limited_${process.pid}`;
    await ledger.db.query(`create role ${login} login connection limit 3`);
    try {
      const limit = await readConnectionLimit(ledger.db, login, 10);
      expect(limit).toEqual({ available: 3, source: `the connection limit of role ${login}` });
    } finally {
      await ledger.db.query(`drop role ${login}`);
    }
  });
});
