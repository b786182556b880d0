import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RateSchedules } from '../../src/controller/rate-schedules.ts';
import { keepRetention } from '../../src/controller/retention.ts';
import { fireSchedules } from '../../src/controller/schedules.ts';
import { systemClock } from '../../src/core/clock.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { listJobs } from '../../src/ledger/jobs.ts';
import { readBudgets, readRateSnapshot } from '../../src/ledger/rates.ts';
import { deleteSchedule, listSchedules, putSchedule } from '../../src/ledger/schedules.ts';
import { addTradeInfos, type TradeInfo } from '../../src/ledger/trade-info.ts';
import { createExchangeRateHandler } from '../../src/types/exchange-rate/run.ts';
import { SHIPPED_TYPES } from '../../src/types/registry.ts';
import { TypeCatalogue } from '../../src/types/type-catalogue.ts';
import { Embedded } from '../support/embedded.ts';
import { type FakeBinance, startFakeBinance } from '../support/fake-binance.ts';
import { type FakeCoinGecko, startFakeCoinGecko } from '../support/fake-coingecko.ts';
import { createTestLedger, newJob, settle, type TestLedger } from '../support/ledger.ts';
import { track } from '../support/rates.ts';
import { waitFor } from '../support/wait-for.ts';

/** Rounds from the table to the price: schedules, queue, workers and stand-ins for the providers. */
let ledger: TestLedger;
let binance: FakeBinance;
let coingecko: FakeCoinGecko;
let embedded: Embedded | undefined;

beforeEach(async () => {
  ledger = await createTestLedger(['exchange-rate']);
  binance = await startFakeBinance({ prices: { BTCUSDT: '67000.5', ETHUSDT: '3000' } });
  coingecko = await startFakeCoinGecko({ coins: { bitcoin: { prices: { usd: '67001.25' } } } });
});
afterEach(async () => {
  await embedded?.stop();
  embedded = undefined;
  await Promise.all([binance.close(), coingecko.close()]);
  await ledger.close();
});

const types = new TypeCatalogue({ shipped: SHIPPED_TYPES, find: async () => null, clock: systemClock });
const schedules = () => new RateSchedules({ db: ledger.db, clock: systemClock, logger: silentLogger });
const fire = () => fireSchedules({ db: ledger.db, clock: systemClock, logger: silentLogger, types });
const names = async () =>
  (await listSchedules(ledger.db, 'default', { limit: 100, afterName: null })).map(({ name }) => name);
const jobs = () => listJobs(ledger.db, { namespace: 'default' }, { limit: 500, beforeId: null });
const prices = async () =>
  Object.fromEntries(
    (await readRateSnapshot(ledger.db, 'default')).rates.map((rate) => [
      `${rate.provider} ${rate.base}-${rate.quote}`,
      rate.price ?? rate.error,
    ]),
  );
/** The newest fire time that has passed is dealt with again; it has one job, however often. */
const makeDue = () => ledger.db.query("update schedules set next_fire_at = now() - interval '10 seconds'");

async function start(workers: number, limits = { perMinute: 6_000, perMonth: 0 }): Promise<void> {
  const settings = {
    timeoutMs: 1_000,
    providers: {
      binance: { baseUrl: binance.url, limits },
      coingecko: { baseUrl: coingecko.url, limits: { perMinute: 6_000, perMonth: 0 } },
    },
  };
  const registrations = [createExchangeRateHandler(settings)];
  embedded = new Embedded({ ledger, registrations });
  embedded.startController();
  for (let n = 0; n < workers; n += 1) await embedded.startWorker();
}

describe('the schedules of providers', () => {
  it('follow the table: made, changed and ended with its rows', async () => {
    const keeper = schedules();
    expect(await keeper.runOnce()).toEqual({ schedules: 0, ended: 0, refused: 0 });
    await track(ledger, 'binance BTC-USDT', { intervalSeconds: 10 });
    await track(ledger, 'binance ETH-USDT', { intervalSeconds: 60 });
    await track(ledger, 'coingecko BTC-USD', { intervalSeconds: 300 });
    expect(await keeper.runOnce()).toEqual({ schedules: 2, ended: 0, refused: 0 });
    const [first, second] = await listSchedules(ledger.db, 'default', { limit: 10, afterName: null });
    expect(first).toMatchObject({
      name: 'rates-binance',
      spec: { every: '10s', overlap: 'skip', job: { type: 'exchange-rate', input: { provider: 'binance' } } },
      keptBy: 'exchange-rate',
      version: 1,
    });
    expect(second?.spec).toMatchObject({ every: '300s' });
    await keeper.runOnce();
    expect((await listSchedules(ledger.db, 'default', { limit: 1, afterName: null }))[0]).toEqual(first);
    await ledger.db.query("update trade_info set enabled = false where base = 'BTC'");
    expect(await keeper.runOnce()).toEqual({ schedules: 1, ended: 1, refused: 0 });
    const [left] = await listSchedules(ledger.db, 'default', { limit: 10, afterName: null });
    expect(left).toMatchObject({ name: 'rates-binance', spec: { every: '60s' }, version: 2 });
  });

  it('are nobody else’s to change, and take nobody’s', async () => {
    const spec = { every: '1m', job: { type: 'echo', input: 1 } };
    const mine = { namespace: 'default', spec, resourceUid: null, nextFireAtMs: null };
    await putSchedule(ledger.db, { ...mine, name: 'rates-coingecko' });
    await track(ledger, 'binance BTC-USDT');
    await track(ledger, 'coingecko BTC-USD');
    expect(await schedules().runOnce()).toEqual({ schedules: 1, ended: 0, refused: 1 });
    expect(await putSchedule(ledger.db, { ...mine, name: 'rates-binance' })).toEqual({ outcome: 'owned' });
    expect(await deleteSchedule(ledger.db, 'default', 'rates-binance', null)).toBe('owned');
    expect(await names()).toEqual(['rates-binance', 'rates-coingecko']);
  });

  it('are not made for a provider that has no file, whose rows harm nobody', async () => {
    await track(ledger, 'nobody BTC-USDT');
    await track(ledger, 'binance BTC-USDT');
    expect(await schedules().runOnce()).toEqual({ schedules: 1, ended: 0, refused: 1 });
    expect(await names()).toEqual(['rates-binance']);
  });

  it('make one job a round of all due pairs, and none while it goes on', async () => {
    for (let n = 0; n < 20; n += 1) await track(ledger, `binance C${n}-USDT`);
    await schedules().runOnce();
    await makeDue();
    expect(await Promise.all([fire(), fire()])).toContainEqual({ fired: 1, skipped: 0, failed: 0 });
    await makeDue();
    expect(await fire()).toEqual({ fired: 0, skipped: 1, failed: 0 });
    expect((await jobs()).map((job) => [job.type, job.input])).toEqual([
      ['exchange-rate', { provider: 'binance' }],
    ]);
  });
});

describe('with workers', () => {
  it('a row that is inserted by hand has its price within a minute, and the next ones', async () => {
    await start(1);
    await ledger.db.query(
      `insert into trade_info (provider, base, quote, interval_seconds) values ('binance', 'BTC', 'USDT', 1), ('coingecko', 'BTC', 'USD', 1)`,
    );
    const keeper = schedules();
    const turn = async () => {
      await keeper.runOnce();
      await fire();
      return prices();
    };
    await waitFor(turn, (found) => found['binance BTC-USDT'] === '67000.5', { timeoutMs: 20_000 });
    binance.prices.set('BTCUSDT', '67123.000000000000000009');
    await waitFor(
      turn,
      (found) =>
        found['binance BTC-USDT'] === '67123.000000000000000009' && found['coingecko BTC-USD'] === '67001.25',
      { timeoutMs: 20_000 },
    );
    await waitFor(
      async () => (await jobs()).filter((job) => job.status === 'SUCCESS').length,
      (ended) => ended >= 3,
      { describe: 'three rounds to have ended' },
    );
  });

  it('a ban pauses that provider alone, for days if need be, and shows', async () => {
    await start(2);
    await track(ledger, 'binance BTC-USDT');
    await track(ledger, 'coingecko BTC-USD');
    binance.fail({ kind: 'status', status: 418, retryAfter: String(3 * 86_400) });
    await schedules().runOnce();
    await makeDue();
    await fire();
    await waitFor(prices, (found) => found['coingecko BTC-USD'] === '67001.25');
    const budgets = await waitFor(
      () => readBudgets(ledger.db),
      (all) => all.some((budget) => budget.name === 'binance' && budget.bannedSeconds > 0),
    );
    const banned = budgets.find((budget) => budget.name === 'binance')?.bannedSeconds ?? 0;
    expect(banned).toBeGreaterThan(3 * 86_400 - 60);
    expect(budgets.find((budget) => budget.name === 'coingecko')?.bannedSeconds).toBe(0);
    // Whoever asks for a round meanwhile does not reach the provider.
    const hurry = () =>
      ledger.db.query(
        "update jobs set run_at = now(), delayed = false where type = 'exchange-rate' and finished_at is null",
      );
    await hurry();
    const handedBack = async () => {
      const { rows } = await ledger.db.query("select from attempts where outcome = 'handed_back'");
      return rows.length > 0;
    };
    await waitFor(handedBack, { describe: 'a round to be handed back because of the ban' });
    expect(binance.calls).toHaveLength(1);
    // It is over.
    await ledger.db.query("update budgets set banned_until = now() where name = 'binance'");
    await hurry();
    await waitFor(prices, (found) => found['binance BTC-USDT'] === '67000.5', { timeoutMs: 30_000 });
  });

  it('share the provider’s limit: all together never exceed it', async () => {
    await binance.close();
    // 40 weight in any 2 s at the provider; the budget says 20 a second.
    binance = await startFakeBinance({ perWindow: 44, windowMs: 2_000 });
    for (let n = 0; n < 1_000; n += 1) binance.prices.set(`C${n}USDT`, '1.5');
    await start(4, { perMinute: 20 * 60, perMonth: 0 });
    const namespace = 'default';
    const infos = Array.from({ length: 1_000 }, (_, n): TradeInfo => {
      const pair = { namespace, provider: 'binance', base: `C${n}`, quote: 'USDT', providerSymbol: null };
      return { ...pair, intervalSeconds: 1, enabled: true };
    });
    await addTradeInfos(ledger.db, infos);
    // Rounds that overlap, as no schedule would make them: the same pairs, asked for by four workers at once.
    const round = { type: 'exchange-rate', input: { provider: 'binance' } };
    await acceptJobs(ledger.db, [newJob(round), newJob(round), newJob(round), newJob(round)]);
    await waitFor(
      async () => (await jobs()).filter((job) => job.status === 'SUCCESS').length,
      (ended) => ended === 4,
      { timeoutMs: 60_000, describe: 'four rounds to end' },
    );
    expect(binance.calls.map((call) => call.status).filter((status) => status !== 200)).toEqual([]);
    expect(binance.calls.length).toBeGreaterThanOrEqual(10);
    const { rows } = await ledger.db.query(
      'select count(*)::integer as n from current_rates where price = 1.5',
    );
    expect(rows[0].n).toBe(1_000);
  });

  it('a monthly sum that is spent puts rounds off until the next month', async () => {
    await start(1, { perMinute: 0, perMonth: 4 });
    await track(ledger, 'binance BTC-USDT', { intervalSeconds: 1 });
    await schedules().runOnce();
    await makeDue();
    await fire();
    await waitFor(prices, (found) => found['binance BTC-USDT'] === '67000.5');
    await waitFor(async () => (await jobs()).every((job) => job.status === 'SUCCESS'), {
      describe: 'the first round to end',
    });
    await waitFor(
      async () => {
        await makeDue();
        await fire();
        return (await jobs()).length === 2;
      },
      { describe: 'the second round to begin' },
    );
    const put = await waitFor(
      async () => (await jobs())[0],
      (job) => job !== undefined && job.runAtMs !== null && job.runAtMs > Date.now() + 60_000,
      { describe: 'the second round to wait', timeoutMs: 20_000 },
    );
    const next = new Date();
    next.setUTCMonth(next.getUTCMonth() + 1, 1);
    next.setUTCHours(0, 0, 0, 0);
    expect(Math.abs((put?.runAtMs ?? 0) - next.getTime())).toBeLessThan(5_000);
    expect(binance.calls).toHaveLength(1);
    expect((await readBudgets(ledger.db))[0]).toMatchObject({ name: 'binance', usedThisMonth: 4 });
  });
});

describe('rounds of before', () => {
  it('are forgotten a day after they were made, but one that goes on', async () => {
    await track(ledger, 'binance BTC-USDT');
    await schedules().runOnce();
    await makeDue();
    await fire();
    const retention = { jobDays: 30, blobDays: 7, rateDays: 2, rateMinuteDays: 30, rateHourDays: 730 };
    await ledger.db.query("update schedule_fires set decided_at = now() - interval '25 hours'");
    expect(await keepRetention({ db: ledger.db, retention })).toMatchObject({ rounds: 0 });
    const [job] = await jobs();
    await settle(ledger.db, job?.id ?? '', 'SUCCESS');
    expect(await keepRetention({ db: ledger.db, retention })).toMatchObject({ rounds: 1 });
    expect(await jobs()).toEqual([]);
    const left = await ledger.db.query(
      `select (select count(*) from events) + (select count(*) from unique_keys) + (select count(*) from job_labels)
         + (select count(*) from schedule_fires) as n`,
    );
    expect(Number(left.rows[0].n)).toBe(0);
    expect(await names()).toEqual(['rates-binance']);
  });
});
