import { describe, expect, test } from 'vitest';
import { type Condition, findCondition, isConditionTrue, setCondition, toKubeTime } from './conditions.ts';

const T0 = Date.UTC(2026, 0, 1);
const T1 = T0 + 60_000;
const queued = {
  type: 'Queued',
  status: 'True',
  reason: 'Enqueued',
  message: '',
  observedGeneration: 1,
} as const;

describe('setCondition', () => {
  test('adds a condition of a new type at the end', () => {
    const conditions = setCondition(
      setCondition([], queued, T0),
      { ...queued, type: 'Finished', status: 'False' },
      T1,
    );
    expect(conditions.map(({ type, lastTransitionTime }) => [type, lastTransitionTime])).toEqual([
      ['Queued', '2026-01-01T00:00:00Z'],
      ['Finished', '2026-01-01T00:01:00Z'],
    ]);
  });

  test('keeps lastTransitionTime while the status stays', () => {
    const conditions = setCondition(setCondition([], queued, T0), { ...queued, reason: 'Requeued' }, T1);
    expect(conditions).toEqual([{ ...queued, reason: 'Requeued', lastTransitionTime: toKubeTime(T0) }]);
  });

  test('moves lastTransitionTime when the status changes', () => {
    const conditions = setCondition(setCondition([], queued, T0), { ...queued, status: 'False' }, T1);
    expect(findCondition(conditions, 'Queued')?.lastTransitionTime).toBe(toKubeTime(T1));
  });

  test('records a new observedGeneration without a transition', () => {
    const conditions = setCondition(setCondition([], queued, T0), { ...queued, observedGeneration: 2 }, T1);
    expect(conditions).toEqual([{ ...queued, observedGeneration: 2, lastTransitionTime: toKubeTime(T0) }]);
  });

  test('answers the same array when nothing changed, and never changes its argument', () => {
    const before: readonly Condition[] = Object.freeze([...setCondition([], queued, T0)]);
    expect(setCondition(before, queued, T1)).toBe(before);
    expect(setCondition(before, { ...queued, status: 'Unknown' }, T1)).not.toBe(before);
  });
});

test('an absent or unknown condition is not true', () => {
  expect(isConditionTrue([], 'Queued')).toBe(false);
  expect(isConditionTrue(setCondition([], { ...queued, status: 'Unknown' }, T0), 'Queued')).toBe(false);
  expect(isConditionTrue(setCondition([], queued, T0), 'Queued')).toBe(true);
});
