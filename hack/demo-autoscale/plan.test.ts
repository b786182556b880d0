import { expect, test } from 'vitest';
import { type DemoPool, PHASES, toScenarios } from './plan.ts';

const pool: DemoPool = {
  name: 'greeters',
  type: 'greet',
  caption: '',
  peakRate: 25,
  submit: { input: { seconds: 1 } },
  spec: {},
};

test('k6 is told tenths of jobs a second, so that slow rates are possible', () => {
  expect(toScenarios([{ ...pool, peakRate: 0.5 }], 100)).toEqual([
    {
      name: 'greeters',
      type: 'greet',
      submit: { input: { seconds: 1 } },
      startRate: 0,
      stages: [
        { duration: '40s', target: 5 },
        { duration: '25s', target: 5 },
        { duration: '35s', target: 0 },
      ],
    },
  ]);
});

test('the phases are one after another, fill the time and reach the peak', () => {
  const ends = PHASES.map(({ until }) => until);
  expect(ends).toEqual(ends.toSorted((a, b) => a - b));
  expect(ends.at(-1)).toBe(1);
  expect(Math.max(...PHASES.map(({ level }) => level))).toBe(1);
});
