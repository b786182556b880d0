import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseConversion, parsePairArgument, parseStop, parseSubscription } from './parse.ts';

const pair = { base: 'BTC', quote: 'USDT' };

test.each(['btc usdt', 'BTC-USDT', ' btc / usdt ', 'btc  to usdt', 'btc\nusdt'])('%j is a pair', (text) => {
  expect(parsePairArgument(text)).toEqual(pair);
});

test.each([
  '',
  'btc',
  'btc btc',
  'btc usdt eur',
  'ßtc usdt',
  'btc usd$',
  `${'a'.repeat(21)} b`,
  'btc\u0000usdt',
  '🙂 usdt',
])('%j is no pair', (text) => {
  expect(parsePairArgument(text)).toEqual({ mistake: expect.stringContaining('two assets') });
});

test('amounts are exact, in whatever notation', () => {
  expect(parseConversion('100 eur uah')).toEqual({ amount: '100', pair: { base: 'EUR', quote: 'UAH' } });
  expect(parseConversion('0.1000000000000000000001 eur to uah')).toMatchObject({
    amount: '0.1000000000000000000001',
  });
  expect(parseConversion('1e3 eur/uah')).toMatchObject({ amount: '1000' });
});

test.each(['NaN', '1e999', '-1', '0', '1,000', 'Infinity', '0x10', '1'.repeat(120), ''])(
  '%j is no amount',
  (amount) => {
    expect(parseConversion(`${amount} eur uah`)).toEqual({ mistake: expect.stringContaining('amount') });
  },
);

test('subscriptions are above, below or every', () => {
  expect(parseSubscription('btc usdt above 70000.50')).toEqual({
    pair,
    rule: { kind: 'above', threshold: '70000.5' },
  });
  expect(parseSubscription('btc-usdt BELOW 6e4')).toEqual({
    pair,
    rule: { kind: 'below', threshold: '60000' },
  });
  expect(parseSubscription('btc usdt every 1H')).toEqual({ pair, rule: { kind: 'every', seconds: 3_600 } });
});

test.each([
  ['btc usdt', 'Say when'],
  ['btc usdt above', 'threshold'],
  ['btc usdt above -5', 'threshold'],
  ['btc usdt above NaN', 'threshold'],
  ['btc usdt above 1e999', 'threshold'],
  ['btc usdt every 0s', 'period'],
  ['btc usdt every 59s', 'period'],
  ['btc usdt every 31d', 'period'],
  ['btc usdt every 99999999999999d', 'period'],
  ['btc usdt above 1 2', 'Say when'],
  ['btc usdt sometimes 1', 'Say when'],
  ['above 70000', 'two assets'].slice(0, 1).concat('Say when') as [string, string],
])('%j is told what is missing', (text, mistake) => {
  expect(parseSubscription(text)).toEqual({ mistake: expect.stringContaining(mistake) });
});

test('stop takes a number or nothing', () => {
  expect(parseStop('')).toEqual({ id: null });
  expect(parseStop(' #12 ')).toEqual({ id: 12 });
  expect(parseStop('1; drop table subscriptions')).toHaveProperty('mistake');
  expect(parseStop('9'.repeat(30))).toHaveProperty('mistake');
});

test('whatever is written, nothing throws, and no answer repeats it', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary', maxLength: 5_000 }), fc.string({ maxLength: 300 })),
      (text) => {
        for (const parse of [parsePairArgument, parseConversion, parseSubscription, parseStop]) {
          const parsed = parse(text);
          if (!('mistake' in parsed)) expect(JSON.stringify(parsed)).toMatch(/^[\x20-\x7e]*$/);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});
