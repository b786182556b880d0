import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toSeries } from './series.ts';

const span = { startMs: 1_000, endMs: 5_000, stepMs: 2_000 };

test('a job waits, runs and is gone', () => {
  const series = toSeries([{ acceptedAtMs: 1_500, startedAtMs: 3_000, finishedAtMs: 4_500 }], span);
  expect(series.waiting).toEqual([
    [0, 0],
    [1, 1],
    [2, 0],
    [3, 0],
    [4, 0],
  ]);
  expect(series.running.map(([, value]) => value)).toEqual([0, 0, 1, 1, 0]);
  expect(series.submitted).toEqual([
    [1, 0.5],
    [3, 0],
  ]);
  expect(series.finished).toEqual([
    [1, 0],
    [3, 0.5],
  ]);
});

test('a job that never ran and was cancelled does not wait for ever', () => {
  const { waiting, running } = toSeries(
    [{ acceptedAtMs: 1_000, startedAtMs: null, finishedAtMs: 2_000 }],
    span,
  );
  expect(waiting.map(([, value]) => value)).toEqual([1, 0, 0, 0, 0]);
  expect(running.every(([, value]) => value === 0)).toBe(true);
});

test('a last step that is cut short is divided by what there is of it', () => {
  const jobs = [{ acceptedAtMs: 5_500, startedAtMs: null, finishedAtMs: null }];
  expect(toSeries(jobs, { startMs: 1_000, endMs: 6_000, stepMs: 2_000 }).submitted).toEqual([
    [1, 0],
    [3, 0],
    [4.5, 1],
  ]);
});

test('rates add up to the jobs, and nothing is ever negative', () => {
  const time = fc.integer({ min: 1_001, max: 20_000 });
  fc.assert(
    fc.property(fc.array(fc.tuple(time, time, time), { maxLength: 50 }), (triples) => {
      const jobs = triples.map((triple) => {
        const [acceptedAtMs = 0, startedAtMs = 0, finishedAtMs = 0] = triple.toSorted((a, b) => a - b);
        return { acceptedAtMs, startedAtMs, finishedAtMs };
      });
      const series = toSeries(jobs, { startMs: 1_000, endMs: 20_000, stepMs: 1_000 });
      const total = series.finished.reduce((sum, [, rate]) => sum + rate, 0);
      expect(total).toBeCloseTo(jobs.length, 6);
      for (const points of Object.values(series)) {
        expect(points.every(([, value]: readonly [number, number]) => value >= 0)).toBe(true);
      }
    }),
  );
});
