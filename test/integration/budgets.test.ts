import { afterAll, beforeAll, expect, it } from 'vitest';
import { WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';

/** Budgets of providers: one row each, for all workers of all pools. */
let ledger: TestLedger;

beforeAll(async () => {
  ledger = await createTestLedger(['echo']);
});
afterAll(async () => {
  await ledger?.close();
});

const ask = (name: string, maxWaitMs: number) =>
  ledger.worker().takeBudget({ name, perSecond: 10, perDay: 0, maxWaitMs });

it('spaces calls evenly, and tells of a wait that nobody wants to keep', async () => {
  expect(await ask('spaced', 0)).toEqual({ granted: true, waitMs: 0 });
  const second = await ask('spaced', 5_000);
  expect(second.granted).toBe(true);
  expect(second.waitMs).toBeGreaterThan(0);
  expect(second.waitMs).toBeLessThanOrEqual(105);
  expect((await ask('spaced', 0)).granted).toBe(false);
});

it('ends with the day', async () => {
  const limit = { name: 'daily', perSecond: 0, perDay: 1, maxWaitMs: 0 };
  expect((await ledger.worker().takeBudget(limit)).granted).toBe(true);
  const next = await ledger.worker().takeBudget(limit);
  expect(next.granted).toBe(false);
  expect(next.waitMs).toBeLessThanOrEqual(86_400_000);
});

it('lets nobody through while the provider wants a pause, and a shorter one takes nothing back', async () => {
  await ledger.worker().pauseBudget('paused', 60_000);
  await ledger.worker().pauseBudget('paused', 1_000);
  const { granted, waitMs } = await ask('paused', 5_000);
  expect(granted).toBe(false);
  expect(waitMs).toBeGreaterThan(50_000);
  expect(waitMs).toBeLessThanOrEqual(60_000);
  expect((await ask('another', 0)).granted).toBe(true);
});

it('lets calls through again after the pause', async () => {
  await ledger.worker().pauseBudget('short', 60_000);
  await ledger.db.query("update budgets set banned_until = now() - interval '1 second' where name = 'short'");
  expect(await ask('short', 0)).toEqual({ granted: true, waitMs: 0 });
});

it('pauses for an hour at most: it holds for every tenant', async () => {
  await ledger.worker().pauseBudget('long', 86_400_000);
  const { waitMs } = await ask('long', 0);
  expect(waitMs).toBeGreaterThan(3_500_000);
  expect(waitMs).toBeLessThanOrEqual(3_600_000);
});

it('is paused by nobody without the secret of a pool', async () => {
  const stranger = new WorkerLedger(ledger.db, { secret: 'wrong', workerId: 'stranger', leaseSeconds: 30 });
  await expect(stranger.pauseBudget('guarded', 60_000)).rejects.toMatchObject({ code: '28000' });
  expect((await ask('guarded', 0)).granted).toBe(true);
});
