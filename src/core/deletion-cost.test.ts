import { expect, test } from 'vitest';
import { planDeletionCosts, podOfWorker } from './deletion-cost.ts';

const pod = (name: string, cost?: string) => ({ name, cost });

test("a worker's id tells its pod", () => {
  expect(podOfWorker('a-worker-6d5f-x2z-1-0a1b2c3d')).toBe('a-worker-6d5f-x2z');
  expect(podOfWorker('unlike')).toBe('unlike');
});

test('idle pods cost less than any other, busy ones by how busy they are', () => {
  const running = new Map([
    ['busy-1-00000000', 10],
    ['some-1-00000000', 2],
    ['some-7-00000001', 1],
  ]);
  const pods = [pod('idle'), pod('busy'), pod('some')];
  expect(planDeletionCosts(pods, running, 10)).toEqual([
    { name: 'idle', cost: '-100' },
    { name: 'busy', cost: '100' },
    { name: 'some', cost: '50' },
  ]);
});

test('what is right already is not written again, also when a job more runs', () => {
  const pods = [pod('idle', '-100'), pod('busy', '50')];
  expect(planDeletionCosts(pods, new Map([['busy-1-00000000', 3]]), 10)).toEqual([]);
  expect(planDeletionCosts(pods, new Map([['busy-1-00000000', 5]]), 10)).toEqual([]);
  expect(planDeletionCosts(pods, new Map([['busy-1-00000000', 6]]), 10)).toEqual([
    { name: 'busy', cost: '75' },
  ]);
});
