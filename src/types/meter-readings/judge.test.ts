import fc from 'fast-check';
import { expect, test } from 'vitest';
import { costOf } from './cost.ts';
import { judge, judgeReadings, type LastReading, type LoadedReading } from './judge.ts';

const DAY_MS = 24 * 3_600_000;
const meter = { zones: ['total'], digits: 5, rollsOver: true, maxPerDay: 100 };

function reading(value: number, day: string, overrides: Partial<LoadedReading> = {}): LoadedReading {
  const readAtMs = Date.parse(`${day}T12:00:00Z`);
  const tariff = { price: '4.32', currency: 'UAH' };
  return {
    id: `${day}/${value}`,
    day,
    meterId: 'M-1',
    zone: 'total',
    value,
    readAtMs,
    meter,
    ...tariff,
    last: null,
    ...overrides,
  };
}

const lastOf = (value: number, day: string): LastReading => {
  const { id, readAtMs } = reading(value, day);
  return { id, value, day, readAtMs };
};

test('the first reading opens the register and costs nothing', () => {
  expect(judge(reading(1_234, '2026-11-20'), null)).toMatchObject({
    status: 'ACCEPTED',
    previous: null,
    consumption: 0,
    cost: '0.00',
  });
});

test('a higher one is the consumption since the last, at the price of its day', () => {
  expect(judge(reading(1_334, '2026-11-20'), lastOf(1_234, '2026-10-20'))).toMatchObject({
    status: 'ACCEPTED',
    previous: 1_234,
    consumption: 100,
    rolledOver: false,
    cost: '432.00',
    currency: 'UAH',
  });
});

test('a register that passed its highest value began again at 0', () => {
  const last = lastOf(99_950, '2026-10-20');
  expect(judge(reading(30, '2026-11-20'), last)).toMatchObject({ consumption: 80, rolledOver: true });
  const stiff = { ...meter, rollsOver: false };
  expect(judge(reading(30, '2026-11-20', { meter: stiff }), last)).toMatchObject({ reason: 'LowerThanLast' });
});

test('a lower one that no roll-over explains is refused', () => {
  const judged = judge(reading(1_000, '2026-11-20'), lastOf(1_234, '2026-10-20'));
  expect(judged).toMatchObject({
    status: 'REFUSED',
    reason: 'LowerThanLast',
    previous: 1_234,
    consumption: null,
    cost: null,
  });
});

test('more than the meter can use in that time is refused', () => {
  const last = lastOf(1_000, '2026-11-15');
  expect(judge(reading(1_500, '2026-11-20'), last).reason).toBeNull();
  expect(judge(reading(1_501, '2026-11-20'), last).reason).toBe('ImpossibleRise');
});

test.each([
  ['2026-11-14', 'OutsideWindow'],
  ['2026-11-15', null],
  ['2026-11-26', null],
  ['2026-11-27', 'OutsideWindow'],
])('a reading of %s: %s', (day, reason) => {
  expect(judge(reading(10, day), null).reason).toBe(reason);
});

test('the same value again in a month is no second reading; in the next month it is', () => {
  const last = lastOf(500, '2026-11-16');
  expect(judge(reading(500, '2026-11-20'), last).reason).toBe('AlreadyRead');
  expect(judge(reading(500, '2026-12-20'), last)).toMatchObject({ status: 'ACCEPTED', consumption: 0 });
});

test('what came late, after a later reading was accepted, is refused', () => {
  expect(judge(reading(600, '2026-11-16'), lastOf(500, '2026-11-20')).reason).toBe('OlderThanLast');
});

test.each([
  [{ meter: null }, 'UnknownMeter'],
  [{ zone: 'night' }, 'UnknownZone'],
  [{ value: 100_000 }, 'TooManyDigits'],
])('what cannot be of the meter: %o is %s', (overrides, reason) => {
  expect(judge(reading(1, '2026-11-20', overrides), null).reason).toBe(reason);
});

test('without a tariff a reading is accepted, and its cost is not known', () => {
  expect(judge(reading(1, '2026-11-20', { price: null, currency: null }), null)).toMatchObject({
    status: 'ACCEPTED',
    cost: null,
  });
});

test('several readings of one register are judged in the order in which they were read', () => {
  const last = lastOf(100, '2026-10-20');
  const { judgements, registers } = judgeReadings([
    reading(300, '2026-11-20', { last }),
    reading(200, '2026-11-16', { last }),
    reading(250, '2026-11-22', { last }),
  ]);
  expect(judgements.map(({ reason, consumption }) => [reason, consumption])).toEqual([
    [null, 100],
    [null, 100],
    ['LowerThanLast', null],
  ]);
  expect(registers).toEqual([
    { ...lastOf(300, '2026-11-20'), meterId: 'M-1', zone: 'total', beforeId: last.id },
  ]);
});

test('a register moves only when a reading of it was accepted', () => {
  expect(judgeReadings([reading(1, '2026-11-01')]).registers).toEqual([]);
});

test('consumption adds up to what the register went, whatever was refused on the way', () => {
  const value = fc.integer({ min: 0, max: 99_999 });
  fc.assert(
    fc.property(fc.array(fc.tuple(value, fc.integer({ min: 0, max: 11 })), { maxLength: 30 }), (sent) => {
      const last = { ...lastOf(0, '2026-10-20'), readAtMs: Date.parse('2026-11-15T00:00:00Z') };
      const readings = sent.map(([v, n]) => {
        const day = `2026-11-${15 + n}`;
        return reading(v, day, { last, readAtMs: last.readAtMs + n * DAY_MS, id: `${day}/${v}` });
      });
      const { judgements, registers } = judgeReadings(readings);
      const accepted = judgements.filter(({ status }) => status === 'ACCEPTED');
      const used = accepted.reduce((sum, { consumption }) => sum + (consumption ?? 0), 0);
      const rolls = accepted.filter(({ rolledOver }) => rolledOver).length;
      expect(used).toBe((registers[0]?.value ?? 0) + rolls * 100_000);
    }),
  );
});

test.each([
  [3, '4.32', '12.96'],
  [1, '0.005', '0.01'],
  [1, '0.004999', '0.00'],
  [999_999_999, '99999.999999', '99999999899000.00'],
  [0, '4', '0.00'],
])('%d units at %s cost %s', (units, price, cost) => {
  expect(costOf(units, price)).toBe(cost);
});

test('what is no price is a mistake of ours', () => {
  for (const price of ['', '-1', '1e3', 'NaN', '1.1234567'])
    expect(() => costOf(1, price)).toThrow(RangeError);
});
