import { describe, expect, test } from 'vitest';
import { renderLine, renderLive, sparkline } from './live-view.ts';

describe('a sparkline', () => {
  test('goes from the lowest bar at 0 to the highest at the greatest value', () => {
    expect(sparkline([0, 7, 14], 3)).toBe('▁▅█');
  });

  test('is as wide as it was told, with the present at its right', () => {
    expect(sparkline([1], 4)).toBe('   █');
    expect(sparkline([], 4)).toBe('    ');
  });

  test('keeps every peak when values share a bar', () => {
    const values = Array.from({ length: 100 }, (_, index) => (index === 37 ? 1 : 0));
    expect(sparkline(values, 10)).toHaveLength(10);
    expect(sparkline(values, 10).indexOf('█')).toBe(3);
  });

  test('of nothing but zeros is flat', () => {
    expect(sparkline([0, 0, 0], 3)).toBe('▁▁▁');
  });
});

const sample = { atMs: 0, waiting: 12, active: 3, wanted: 2, ready: 1, finishedPerSecond: 4.5 };
const state = {
  elapsedSeconds: 65,
  loadSeconds: 180,
  phase: 'raising',
  pools: [
    { name: 'greeters', samples: [sample] },
    { name: 'photographs', samples: [] },
  ],
};

test('the table shows each pool with its latest figures', () => {
  const lines = renderLive(state).join('\n');
  expect(lines).toContain('1:05 of 3:00, raising');
  expect(lines).toMatch(/greeters.*12.*1\/2.*4\.5/);
  expect(lines).toMatch(/photographs.*0.*0\/0.*0/);
});

test('a line of a log says the same', () => {
  expect(renderLine(state)).toBe(
    '1:05 raising: greeters 12 waiting, 1/2 pods, 4.5 jobs/s; photographs 0 waiting, 0/0 pods, 0 jobs/s',
  );
});
