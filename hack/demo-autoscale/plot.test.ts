import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  areaPath,
  formatNumber,
  formatTime,
  linearScale,
  linePath,
  niceTicks,
  peakOf,
  stepPath,
  timeTicks,
} from './plot.ts';

const x = linearScale([0, 10], [100, 200]);
const y = linearScale([0, 5], [50, 0]);

describe('a scale', () => {
  test('maps the ends and what is between', () => {
    expect([x(0), x(5), x(10)]).toEqual([100, 150, 200]);
  });

  test('runs downwards for the page', () => {
    expect([y(0), y(5)]).toEqual([50, 0]);
  });

  test('of an empty domain stays finite', () => {
    expect(linearScale([0, 0], [10, 20])(0)).toBe(10);
  });
});

describe('ticks of values', () => {
  test.each([
    [30, [0, 10, 20, 30]],
    [6, [0, 2, 4, 6]],
    [3, [0, 1, 2, 3]],
    [1, [0, 1]],
    [0, [0, 1]],
    [237, [0, 100, 200, 300]],
  ])('up to %d', (max, ticks) => {
    expect(niceTicks(max)).toEqual(ticks);
  });

  test('may be fractions where values are', () => {
    expect(niceTicks(0.35, 4, { whole: false })).toEqual([0, 0.1, 0.2, 0.3, 0.4]);
  });

  test('are few, start at 0, reach the greatest value and are evenly spaced', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.01, max: 1e6, noNaN: true }), fc.boolean(), (max, whole) => {
        const ticks = niceTicks(max, 4, { whole });
        const step = ticks[1] ?? 0;
        expect(ticks[0]).toBe(0);
        expect(ticks.at(-1)).toBeGreaterThanOrEqual(max * (1 - 1e-6));
        expect(ticks.length).toBeLessThanOrEqual(6);
        expect(step).toBeGreaterThan(0);
        ticks.forEach((tick, index) => {
          expect(tick).toBeCloseTo(index * step, 6);
        });
      }),
    );
  });
});

describe('ticks of time', () => {
  test.each([
    [180, [0, 30, 60, 90, 120, 150, 180]],
    [200, [0, 60, 120, 180]],
    [45, [0, 10, 20, 30, 40]],
    [4, [0, 1, 2, 3, 4]],
  ])('over %d s', (seconds, ticks) => {
    expect(timeTicks(seconds)).toEqual(ticks);
  });

  test('are written as minutes and seconds', () => {
    expect([0, 5, 65, 600].map(formatTime)).toEqual(['0:00', '0:05', '1:05', '10:00']);
  });
});

test('numbers are written as short as they are exact', () => {
  expect([0, 3, 0.25, 31.46, 12_400.4].map(formatNumber)).toEqual(['0', '3', '0.25', '31.5', '12,400']);
});

describe('a path', () => {
  const points = [
    [0, 0],
    [5, 5],
    [10, 2.5],
  ] as const;

  test('of a line goes from point to point', () => {
    expect(linePath(points, x, y)).toBe('M100 50L150 0L200 25');
  });

  test('of an area ends at 0 below its start', () => {
    expect(areaPath(points, x, y)).toBe('M100 50L150 0L200 25L200 50L100 50Z');
  });

  test('of steps holds each value until the next one, and the last to the end', () => {
    expect(stepPath(points.slice(0, 2), x, y, 8)).toBe('M100 50H150V0H180');
  });

  test.each([linePath, areaPath, (none: readonly [], a = x, b = y) => stepPath(none, a, b, 1)])(
    'of nothing is empty',
    (path) => {
      expect(path([], x, y)).toBe('');
    },
  );
});

test('a peak is the first of the greatest', () => {
  expect(
    peakOf([
      [0, 1],
      [1, 4],
      [2, 4],
    ]),
  ).toEqual([1, 4]);
  expect(peakOf([])).toEqual([0, 0]);
});
