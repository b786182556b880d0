import { describe, expect, it } from 'vitest';
import type { TrackedRate } from './rate.ts';
import { RateBoard } from './rate-board.ts';

const NOW = 1_800_000_000_000;

/** `provider BASE-QUOTE price`, so many seconds old. */
function tracked(text: string, ageSeconds = 1, intervalSeconds = 10): TrackedRate {
  const [provider = '', pair = '', price = ''] = text.split(' ');
  const [base = '', quote = ''] = pair.split('-');
  const atMs = NOW - ageSeconds * 1_000;
  return price === ''
    ? { provider, base, quote, price: null, atMs: null, intervalSeconds, error: 'PairUnknown' }
    : { provider, base, quote, price, atMs, intervalSeconds, error: null };
}

const find = (rates: TrackedRate[], pair: string, provider?: string) => {
  const [base = '', quote = ''] = pair.split('-');
  return new RateBoard({ version: 1, rates }).find({ base, quote, provider }, NOW);
};

describe('a direct quote', () => {
  it('is given as it was said, with its age', () => {
    expect(find([tracked('binance BTC-USDT 67000.010', 4)], 'BTC-USDT')).toEqual({
      base: 'BTC',
      quote: 'USDT',
      price: '67000.010',
      atMs: NOW - 4_000,
      ageMs: 4_000,
      stale: false,
      freshUntilMs: NOW + 26_000,
      provider: 'binance',
      via: null,
      legs: [expect.objectContaining({ provider: 'binance', price: '67000.010', stale: false })],
      intervalSeconds: 10,
    });
  });

  it('is stale when three intervals have brought nothing, but not before 30 s', () => {
    expect(find([tracked('b BTC-USDT 1', 30)], 'BTC-USDT')?.stale).toBe(false);
    expect(find([tracked('b BTC-USDT 1', 31)], 'BTC-USDT')).toMatchObject({ stale: true, ageMs: 31_000 });
    expect(find([tracked('b BTC-USDT 1', 31, 1)], 'BTC-USDT')?.stale).toBe(true);
    expect(find([tracked('b BTC-USDT 1', 180, 60)], 'BTC-USDT')?.stale).toBe(false);
  });

  it('of a clock that is ahead of ours is 0 s old', () => {
    expect(find([tracked('b BTC-USDT 1', -5)], 'BTC-USDT')).toMatchObject({ ageMs: 0, stale: false });
  });

  it('of several providers is the best bid among the fresh ones', () => {
    const rates = [
      tracked('a BTC-USDT 100.1'),
      tracked('b BTC-USDT 100.10000000000000000001'),
      tracked('c BTC-USDT 900', 100),
    ];
    expect(find(rates, 'BTC-USDT')).toMatchObject({ provider: 'b', stale: false });
    expect(find(rates, 'BTC-USDT', 'a')).toMatchObject({ provider: 'a', price: '100.1' });
    expect(find(rates, 'BTC-USDT', 'c')).toMatchObject({ provider: 'c', stale: true });
    expect(find(rates, 'BTC-USDT', 'nobody')).toBeNull();
  });

  it('is the youngest when all are stale', () => {
    const rates = [tracked('a BTC-USDT 900', 200), tracked('b BTC-USDT 100', 100)];
    expect(find(rates, 'BTC-USDT')).toMatchObject({ provider: 'b', stale: true, ageMs: 100_000 });
  });
});

describe('a pair that nobody quotes', () => {
  it('is turned round', () => {
    expect(find([tracked('b BTC-USDT 8')], 'USDT-BTC')).toMatchObject({ price: '0.125', via: null });
  });

  it('takes the lowest price of the other way round, which is the best bid of this one', () => {
    const rates = [tracked('a BTC-USDT 4'), tracked('b BTC-USDT 8')];
    expect(find(rates, 'USDT-BTC')).toMatchObject({ provider: 'a', price: '0.25' });
  });

  it('goes through a common asset, along and against quotes', () => {
    const rates = [tracked('a BTC-USD 60000', 3), tracked('b BTC-EUR 50000', 7, 300)];
    expect(find(rates, 'EUR-USD')).toMatchObject({
      price: '1.2',
      via: 'BTC',
      provider: null,
      atMs: NOW - 7_000,
      intervalSeconds: 10,
      stale: false,
      legs: [{ provider: 'b' }, { provider: 'a' }],
    });
  });

  it('prefers the deepest market, and passes over a stale one', () => {
    const far = [tracked('a AAA-ZZZ 1'), tracked('a BBB-ZZZ 2')];
    const near = [tracked('a AAA-USDT 3'), tracked('a BBB-USDT 4')];
    expect(find([...far, ...near], 'AAA-BBB')).toMatchObject({ via: 'USDT', price: '0.75' });
    const stale = [tracked('a AAA-USDT 3', 100), tracked('a BBB-USDT 4')];
    expect(find([...far, ...stale], 'AAA-BBB')).toMatchObject({ via: 'ZZZ', price: '0.5' });
    expect(find(stale, 'AAA-BBB')).toMatchObject({ via: 'USDT', stale: true, ageMs: 100_000 });
  });

  it('goes through a fresh cross rate rather than a stale quote, which is marked when there is nothing else', () => {
    const quote = tracked('a AAA-BBB 9', 100);
    const legs = [tracked('a AAA-USDT 3'), tracked('a BBB-USDT 4')];
    expect(find([quote, ...legs], 'AAA-BBB')).toMatchObject({ via: 'USDT', stale: false });
    expect(find([quote], 'AAA-BBB')).toMatchObject({ via: null, stale: true, price: '9' });
  });

  it('is unknown when no way leads there, or a tracked pair has no quote yet', () => {
    expect(find([tracked('a AAA-BBB 1'), tracked('a CCC-DDD 1')], 'AAA-DDD')).toBeNull();
    expect(find([tracked('a AAA-BBB')], 'AAA-BBB')).toBeNull();
    expect(find([], 'AAA-BBB')).toBeNull();
  });
});
