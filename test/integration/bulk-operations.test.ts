import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runBulkOperations } from '../../src/controller/bulk-operations.ts';
import { uuidv7 } from '../../src/core/ids.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import {
  type BulkFilter,
  type BulkOperation,
  createBulkOperation,
  getBulkOperation,
  MAX_BULK_JOBS,
} from '../../src/ledger/bulk-operations.ts';
import { stepBulkOperation } from '../../src/ledger/bulk-steps.ts';
import { cancelJobs } from '../../src/ledger/jobs.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';

let ledger: TestLedger;
beforeEach(async () => {
  ledger = await createTestLedger();
});
afterEach(() => ledger.close());

async function accept(count: number, overrides: Parameters<typeof newJob>[0] = {}): Promise<string[]> {
  const jobs = Array.from({ length: count }, () => newJob(overrides));
  await acceptJobs(ledger.db, jobs);
  return jobs.map((job) => job.id);
}

async function start(
  kind: BulkOperation['kind'],
  filter: Omit<BulkFilter, 'untilId'>,
  namespace = 'default',
): Promise<string> {
  const id = uuidv7();
  await createBulkOperation(ledger.db, { id, kind, namespace, filter: { ...filter, untilId: id } });
  return id;
}

const get = (id: string) => getBulkOperation(ledger.db, 'default', id);
async function statuses(): Promise<Record<string, number>> {
  const { rows } = await ledger.db.query('select status, count(*) as n from jobs group by 1');
  return Object.fromEntries(rows.map((row) => [row.status, row.n]));
}

describe('a bulk operation', () => {
  it('cancels the jobs of its namespace that fit, and no job that came later', async () => {
    await accept(25, { labels: { team: 'a' } });
    await accept(5, { labels: { team: 'b' } });
    await accept(5, { labels: { team: 'a' }, namespace: 'other' });
    const id = await start('cancel', { label: { key: 'team', value: 'a' } });
    await accept(5, { labels: { team: 'a' } });
    expect(await runBulkOperations(ledger.db, undefined, 10)).toEqual({ operations: 1, changed: 25 });
    expect(await get(id)).toMatchObject({ state: 'done', matched: 25, changed: 25 });
    expect((await get(id))?.finishedAtMs).not.toBeNull();
    expect(await statuses()).toEqual({ CANCELLED: 25, CREATED: 15 });
  });

  it('retries jobs that ended badly, by type and status', async () => {
    const ids = [...(await accept(12)), ...(await accept(3, { type: 'other' }))];
    await accept(4);
    await cancelJobs(ledger.db, 'default', ids);
    await start('retry', { type: 'echo', status: 'CANCELLED' });
    expect(await runBulkOperations(ledger.db, undefined, 5)).toEqual({ operations: 1, changed: 12 });
    expect(await statuses()).toEqual({ CREATED: 16, CANCELLED: 3 });
  });

  it('with a status that cannot be changed is done with nothing', async () => {
    await accept(2);
    const id = await start('cancel', { status: 'SUCCESS' });
    await runBulkOperations(ledger.db);
    expect(await get(id)).toMatchObject({ state: 'done', matched: 0, changed: 0 });
  });

  it('goes on where a crash stopped it, counting nothing twice', async () => {
    await accept(30);
    const id = await start('cancel', { type: 'echo' });
    await stepBulkOperation(ledger.db, 10);
    expect(await get(id)).toMatchObject({ state: 'running', matched: 10, changed: 10 });
    // The next step is cut off half-way: none of it stays.
    const { rows } = await ledger.db.query(
      `select pg_get_functiondef('cancel_jobs(text,uuid[])'::regprocedure) as def`,
    );
    await ledger.db.query(`create or replace function cancel_jobs(p_namespace text, p_ids uuid[])
      returns table (job_id uuid, outcome text) language plpgsql as $$ begin raise exception 'cut off'; end $$`);
    await expect(stepBulkOperation(ledger.db, 10)).rejects.toThrow('cut off');
    await ledger.db.query(rows[0].def);
    await runBulkOperations(ledger.db, undefined, 10);
    expect(await get(id)).toMatchObject({ state: 'done', matched: 30, changed: 30 });
  });

  it('is worked on by one of two leaders', async () => {
    await accept(100);
    const id = await start('cancel', { type: 'echo' });
    await Promise.all([
      runBulkOperations(ledger.db, undefined, 7),
      runBulkOperations(ledger.db, undefined, 7),
    ]);
    await runBulkOperations(ledger.db, undefined, 7);
    expect(await get(id)).toMatchObject({ state: 'done', matched: 100, changed: 100 });
  });

  it('takes at most 10,000 jobs', async () => {
    await accept(30);
    const id = await start('cancel', { type: 'echo' });
    await ledger.db.query('update bulk_operations set matched = $1, changed = $1', [MAX_BULK_JOBS - 20]);
    await runBulkOperations(ledger.db, undefined, 15);
    expect(await get(id)).toMatchObject({ state: 'done', matched: MAX_BULK_JOBS, changed: MAX_BULK_JOBS });
    expect(await statuses()).toEqual({ CANCELLED: 20, CREATED: 10 });
  });
});
