import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { uuidv7 } from '../../src/core/ids.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { admitJobs } from '../../src/ledger/admission.ts';
import { connectDatabase, type Database } from '../../src/ledger/database.ts';
import { getJob } from '../../src/ledger/jobs.ts';
import { listServedTypes, putPool } from '../../src/ledger/pools.ts';
import { WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';

/** All workers log in as one role: what a pool's secret opens is what keeps tenants apart. */
let ledger: TestLedger;
let pool: Database;
const job = newJob({ input: { secret: 'of the tenant' } });

beforeAll(async () => {
  ledger = await createTestLedger(['echo']);
  pool = connectDatabase({ url: ledger.workerUrl, applicationName: 'stranger', logger: silentLogger });
  await putPool(ledger.db, { namespace: 'elsewhere', name: 'same-type', types: ['echo'] }, 'elsewhere');
  await putPool(ledger.db, { namespace: 'default', name: 'other-type', types: ['other'] }, 'other-type');
  await acceptJobs(ledger.db, [job]);
  await admitJobs(ledger.db, [{ namespace: 'default', type: 'echo', count: 1 }], { dispatch: true });
});
afterAll(async () => {
  await pool?.end();
  await ledger?.close();
});

const stranger = (secret: string) =>
  new WorkerLedger(pool, { secret, workerId: 'stranger', leaseSeconds: 30 });

describe.each([
  ['another namespace', 'elsewhere'],
  ['another type', 'other-type'],
])('the secret of a pool of %s', (_what, secret) => {
  it('claims nothing, and is not told that there is anything', async () => {
    expect(await stranger(secret).claim([{ id: job.id, lease: 0 }])).toEqual([{ refused: 'missing' }]);
    expect(await getJob(ledger.db, 'default', job.id)).toMatchObject({ status: 'CREATED' });
  });

  it('commits nothing, and opens no blob, under a lease that it knows', async () => {
    const mine = newJob();
    await acceptJobs(ledger.db, [mine]);
    await admitJobs(ledger.db, [{ namespace: 'default', type: 'echo', count: 10 }], { dispatch: true });
    const [claimed] = await ledger.worker().claim([{ id: mine.id, lease: 0 }]);
    expect(claimed).toMatchObject({ lease: 1 });
    const [committed] = await stranger(secret).commit([
      { id: mine.id, lease: 1, outcome: 'succeeded', result: { forged: true }, blobs: [] },
    ]);
    expect(committed).toMatchObject({ verdict: 'fenced' });
    expect(await getJob(ledger.db, 'default', mine.id)).toMatchObject({ status: 'PROCESS', result: null });
    const chunk = pool.query('select longshore.read_blob_chunk($1, $2, 1, $3, 0)', [
      secret,
      mine.id,
      uuidv7(),
    ]);
    await expect(chunk).rejects.toMatchObject({ code: '55000' });
  });

  it('makes no type served that is not its pool’s', async () => {
    await stranger(secret).renew([], { types: ['echo', 'other'], concurrency: 4 });
    const served = await listServedTypes(ledger.db, 45);
    expect(served.filter(({ namespace, type }) => namespace === 'default' && type === 'echo')).toEqual([]);
  });
});
