import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_RANGE_READINGS, MAX_RANGE_WAIT_MS, planRanges, type ReadingBatch } from './reading-ranges.ts';

const batch = (id: string, readings: number, ageMs = 0, namespace = 'default'): ReadingBatch => ({
  id,
  namespace,
  readings,
  ageMs,
});
const ids = (ranges: ReadingBatch[][]) => ranges.map((range) => range.map(({ id }) => id));

test('young readings wait for company', () => {
  expect(planRanges([batch('a', 10), batch('b', 20, 900)])).toEqual([]);
});

test('a second after the first came they go together', () => {
  expect(ids(planRanges([batch('a', 10, MAX_RANGE_WAIT_MS), batch('b', 20)]))).toEqual([['a', 'b']]);
});

test('a full range goes at once, and what is left of the flood waits', () => {
  expect(ids(planRanges([batch('a', 600), batch('b', 400), batch('c', 5)]))).toEqual([['a', 'b']]);
});

test('namespaces never share a range', () => {
  const ranges = planRanges([batch('a', 1, 2_000), batch('b', 1, 2_000, 'other')]);
  expect(ids(ranges)).toEqual([['a'], ['b']]);
});

test('no range is too large, and no batch is in two or out of its order', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: MAX_RANGE_READINGS }), { maxLength: 60 });
  fc.assert(
    fc.property(sizes, (readings) => {
      const batches = readings.map((n, index) => batch(String(index), n, MAX_RANGE_WAIT_MS));
      const ranges = planRanges(batches);
      expect(ranges.flat()).toEqual(batches);
      for (const range of ranges) {
        expect(range.reduce((sum, { readings: n }) => sum + n, 0)).toBeLessThanOrEqual(MAX_RANGE_READINGS);
      }
    }),
  );
});
