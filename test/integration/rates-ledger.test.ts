import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/core/logger.ts';
import { connectDatabase } from '../../src/ledger/database.ts';
import { putPool } from '../../src/ledger/pools.ts';
import { readRateHistory, readRateSnapshot, readRateVersion } from '../../src/ledger/rates.ts';
import { keepRateHistory } from '../../src/ledger/retention.ts';
import { addTradeInfos, deleteTradeInfo, listTradeInfo, putTradeInfo } from '../../src/ledger/trade-info.ts';
import { WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';
import { type ClaimedRound, claimRound, roundUnder, track } from '../support/rates.ts';

let ledger: TestLedger;

beforeEach(async () => {
  ledger = await createTestLedger(['exchange-rate']);
});
afterEach(() => ledger.close());

const snapshot = () => readRateSnapshot(ledger.db, 'default');
const symbols = async (round: ClaimedRound) =>
  (await round.take()).map((pair) => `${pair.base}-${pair.quote}`);
const BTC = { namespace: 'default', provider: 'binance', base: 'BTC', quote: 'USDT' };

async function history(step: 'raw' | '1m' | '1h' | '1d') {
  const range = { fromMs: Date.now() - 40 * 86_400_000, toMs: Date.now() + 60_000, limit: 1_000 };
  return readRateHistory(ledger.db, { ...BTC, step, ...range });
}

describe('a round', () => {
  it('takes the enabled pairs of its provider and namespace, with their names there', async () => {
    await track(ledger, 'binance BTC-USDT');
    await track(ledger, 'binance ETH-USDT', { providerSymbol: 'ETHOTHER' });
    await track(ledger, 'binance OFF-USDT', { enabled: false });
    await track(ledger, 'coingecko BTC-USD');
    await track(ledger, 'binance XRP-USDT', { namespace: 'elsewhere' });
    const round = await claimRound(ledger, 'binance');
    expect(await round.take()).toEqual([
      { id: expect.any(Number), base: 'BTC', quote: 'USDT', symbol: null },
      { id: expect.any(Number), base: 'ETH', quote: 'USDT', symbol: 'ETHOTHER' },
    ]);
  });

  it('keeps each pair once, however often it is handed in', async () => {
    await track(ledger, 'binance BTC-USDT');
    await track(ledger, 'binance ETH-USDT');
    const round = await claimRound(ledger, 'binance');
    const [btc, eth] = await round.take();
    const first = [{ id: btc?.id ?? 0, price: '67000.123456789012345678', ageMs: 0 }];
    expect(await round.commit(first)).toBe(1);
    expect(await round.commit([{ id: btc?.id ?? 0, price: '1', ageMs: 0 }])).toBe(0);
    expect(await symbols(round)).toEqual(['ETH-USDT']);
    expect(await round.commit([...first, { id: eth?.id ?? 0, price: '3000', ageMs: 0 }])).toBe(1);
    const { rates } = await snapshot();
    expect(rates.map((rate) => rate.price)).toEqual(['67000.123456789012345678', '3000']);
    expect(await history('raw')).toHaveLength(1);
    expect(await history('1m')).toMatchObject([{ open: '67000.123456789012345678', samples: 1 }]);
  });

  it('has each pair in its own slot of time: another in the same slot finds nothing, the next one all', async () => {
    await track(ledger, 'binance BTC-USDT', { intervalSeconds: 10 });
    await track(ledger, 'binance ETH-USDT', { intervalSeconds: 86_400 });
    const slot = 10 - ((Date.now() / 1_000) % 10);
    const first = await claimRound(ledger, 'binance', { offsetSeconds: slot + 1 });
    const due = await first.take();
    await first.commit(due.map(({ id }) => ({ id, price: '1', ageMs: 0 })));
    const same = await claimRound(ledger, 'binance', { offsetSeconds: slot + 9 });
    expect(await symbols(same)).toEqual([]);
    // It comes 1.2 s after the beginning of the next slot, less than ten seconds after the last.
    const next = await claimRound(ledger, 'binance', { offsetSeconds: slot + 10.2 });
    expect(await symbols(next)).toEqual(['BTC-USDT']);
  });

  it('is not written under a lease that is not current', async () => {
    await track(ledger, 'binance BTC-USDT');
    const round = await claimRound(ledger, 'binance');
    const [pair] = await round.take();
    const item = { id: pair?.id ?? 0, price: '1', ageMs: 0 };
    await expect(
      roundUnder(ledger.worker(), { id: round.id, lease: round.lease + 1 }).commit([item]),
    ).rejects.toMatchObject({
      code: '55000',
    });
    await ledger.db.query('update jobs set lease_until = null where id = $1', [round.id]);
    await expect(round.take()).rejects.toMatchObject({ code: '55000' });
    await expect(round.commit([item])).rejects.toMatchObject({ code: '55000' });
    await expect(round.ban(1_000)).rejects.toMatchObject({ code: '55000' });
    expect((await snapshot()).rates[0]?.price).toBeNull();
  });

  it('is not another tenant’s, another type’s, nor of pairs of another provider', async () => {
    await track(ledger, 'binance BTC-USDT');
    await track(ledger, 'coingecko BTC-USD');
    await putPool(ledger.db, { namespace: 'elsewhere', name: 'p', types: ['exchange-rate'] }, 'elsewhere');
    await putPool(ledger.db, { namespace: 'default', name: 'q', types: ['echo'] }, 'echo-pool');
    const round = await claimRound(ledger, 'binance');
    const db = connectDatabase({ url: ledger.workerUrl, applicationName: 'stranger', logger: silentLogger });
    try {
      const by = (secret: string) =>
        roundUnder(new WorkerLedger(db, { secret, workerId: 'stranger', leaseSeconds: 30 }), round);
      for (const secret of ['elsewhere', 'echo-pool'])
        await expect(by(secret).take()).rejects.toMatchObject({ code: '55000' });
      await expect(by('wrong').take()).rejects.toMatchObject({ code: '28000' });
      const { rows } = await ledger.db.query("select id from trade_info where provider = 'coingecko'");
      expect(await by(ledger.poolSecret).commit([{ id: rows[0].id, price: '1', ageMs: 0 }])).toBe(0);
      await expect(db.query('select * from longshore.trade_info')).rejects.toMatchObject({ code: '42501' });
    } finally {
      await db.end();
    }
  });

  it('keeps a pair that fails, with the price of before, and asks for it ever more rarely', async () => {
    await track(ledger, 'binance BTC-USDT');
    for (const [n, item] of [{ price: '5', ageMs: 0 }, { error: 'PairUnknown' }].entries()) {
      const round = await claimRound(ledger, 'binance', { offsetSeconds: n * 10 });
      const [pair] = await round.take();
      await round.commit([{ id: pair?.id ?? 0, ...item } as never]);
    }
    expect((await snapshot()).rates[0]).toMatchObject({ price: '5', error: 'PairUnknown' });
    expect(await symbols(await claimRound(ledger, 'binance', { offsetSeconds: 20 }))).toEqual([]);
    const { rows } = await ledger.db.query(
      `select extract(epoch from retry_at - now())::integer as seconds from current_rates`,
    );
    expect(rows[0].seconds).toBeGreaterThan(15);
    expect(rows[0].seconds).toBeLessThanOrEqual(20);
    await ledger.db.query("update current_rates set failures = 30, retry_at = now() - interval '1 second'");
    const round = await claimRound(ledger, 'binance', { offsetSeconds: 40 });
    const [pair] = await round.take();
    await round.commit([{ id: pair?.id ?? 0, error: 'PairUnknown' }]);
    const late = await ledger.db.query(
      `select extract(epoch from retry_at - now())::integer as seconds, failures from current_rates`,
    );
    expect(late.rows[0]).toMatchObject({ failures: 31, seconds: expect.closeTo(3_600, -1) });
    // Whoever puts the row right does not wait an hour.
    await putTradeInfo(ledger.db, { ...BTC, providerSymbol: 'BTCUSDT', intervalSeconds: 10, enabled: true });
    expect(await symbols(await claimRound(ledger, 'binance', { offsetSeconds: 60 }))).toEqual(['BTC-USDT']);
  });

  it('refuses a price that is none, whatever a worker lets through, and keeps nothing of the call', async () => {
    await track(ledger, 'binance BTC-USDT');
    const round = await claimRound(ledger, 'binance');
    const [pair] = await round.take();
    for (const price of ['NaN', 'Infinity', '-1', '0', '1e30', 'x']) {
      const commit = round.commit([{ id: pair?.id ?? 0, price, ageMs: 0 }]);
      await expect(commit, price).rejects.toMatchObject({ code: expect.stringMatching(/^(23514|22P02)$/) });
    }
    expect((await snapshot()).rates[0]).toMatchObject({ price: null, error: null });
    expect(await history('raw')).toEqual([]);
  });
});

describe('the time of a price', () => {
  it('is the database’s less its age, and never goes back', async () => {
    await track(ledger, 'binance BTC-USDT');
    const commit = async (price: string, ageMs: number, offsetSeconds: number) => {
      const round = await claimRound(ledger, 'binance', { offsetSeconds });
      const [pair] = await round.take();
      await round.commit([{ id: pair?.id ?? 0, price, ageMs }]);
      return (await snapshot()).rates[0];
    };
    const first = await commit('10', 60_000, 0);
    expect(Date.now() - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(59_900);
    // Older than what is known: the round has dealt with it, but nothing is newer.
    expect(await commit('9', 120_000, 10)).toMatchObject({ price: '10', atMs: first?.atMs });
    // From the future: as if it were of now.
    const future = await commit('11', -60_000, 20);
    expect(future?.price).toBe('11');
    expect(future?.atMs).toBeLessThanOrEqual(Date.now() + 1_000);
    expect(await history('raw')).toHaveLength(2);
  });
});

describe('the history', () => {
  it('is rolled up by minute, hour and day as prices come', async () => {
    await track(ledger, 'binance BTC-USDT');
    for (const [n, price] of ['10', '30', '5', '20'].entries()) {
      const round = await claimRound(ledger, 'binance', { offsetSeconds: n * 10 });
      const [pair] = await round.take();
      await round.commit([{ id: pair?.id ?? 0, price, ageMs: 0 }]);
    }
    const day = await history('1d');
    const total = day?.reduce((sum, bar) => sum + bar.samples, 0);
    expect(total).toBe(4);
    if (day?.length === 1)
      expect(day[0]).toMatchObject({ open: '10', high: '30', low: '5', close: '20', samples: 4 });
    expect((await history('raw'))?.map((point) => point.close)).toEqual(['10', '30', '5', '20']);
  });

  it('is kept for its time: whole days are dropped, new ones are made', async () => {
    const days = async () => {
      const { rows } = await ledger.db.query(
        `select relname from pg_class where relname ~ '^rate_history_\\d{8}$' order by 1`,
      );
      return rows.length;
    };
    const before = await days();
    expect(before).toBeGreaterThanOrEqual(4);
    await ledger.db.query(
      `create table rate_history_20200101 partition of rate_history for values from ('2020-01-01') to ('2020-01-02')`,
    );
    expect(await keepRateHistory(ledger.db, 2)).toMatchObject({ dropped: 1 });
    expect(await days()).toBe(before);
    expect(await keepRateHistory(ledger.db, 2)).toEqual({ made: 0, dropped: 0 });
  });
});

describe('the table of what is tracked', () => {
  it('takes a row by hand, with what is usual', async () => {
    await ledger.db.query(
      `insert into longshore.trade_info (provider, base, quote) values ('binance', 'BTC', 'USDT')`,
    );
    expect(await listTradeInfo(ledger.db, 'default', { limit: 10, after: null })).toEqual([
      {
        ...BTC,
        ...{ providerSymbol: null, intervalSeconds: 60, enabled: true, price: null, atMs: null },
        ...{ error: null, failures: 0 },
      },
    ]);
  });

  it.each([
    ['an interval of 0', `('binance', 'BTC', 'USDT', 0)`],
    ['a negative interval', `('binance', 'BTC', 'USDT', -1)`],
    ['an interval of months', `('binance', 'BTC', 'USDT', 8640000)`],
    ['lower case', `('binance', 'btc', 'USDT', 10)`],
    ['an asset against itself', `('binance', 'BTC', 'BTC', 10)`],
    ['a path for a provider', `('../binance', 'BTC', 'USDT', 10)`],
    ['an empty base', `('binance', '', 'USDT', 10)`],
  ])('refuses %s', async (_, values) => {
    const insert = `insert into trade_info (provider, base, quote, interval_seconds) values ${values}`;
    await expect(ledger.db.query(insert)).rejects.toMatchObject({ code: '23514' });
    expect(await readRateVersion(ledger.db, 'default')).toBe(0);
  });

  it('tells of each change, once a statement, and the version grows', async () => {
    const client = await ledger.db.connect();
    const heard: string[] = [];
    client.on('notification', ({ payload }) => heard.push(payload ?? ''));
    await client.query('listen longshore_rates');
    const infos = ['A', 'B', 'C'].map((base) => ({
      ...BTC,
      base,
      ...{ providerSymbol: null, intervalSeconds: 10, enabled: true },
    }));
    await addTradeInfos(client, infos);
    expect(await addTradeInfos(client, infos)).toBe(0);
    await deleteTradeInfo(client, { ...BTC, base: 'A' });
    await client.query('select 1');
    client.release();
    const versions = heard.map((payload) => Number(payload.split(' ')[1]));
    expect(heard.every((payload) => payload.startsWith('default '))).toBe(true);
    expect(versions).toHaveLength(2);
    expect(versions[1]).toBeGreaterThan(versions[0] ?? 0);
    expect(await readRateVersion(ledger.db, 'default')).toBe(versions[1]);
    expect((await snapshot()).rates.map((rate) => rate.base)).toEqual(['B', 'C']);
  });
});
