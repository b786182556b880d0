import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { TerminalError } from '../core/errors.ts';
import { silentLogger } from '../core/logger.ts';
import { ReconcileLoop } from './reconcile-loop.ts';
import { WorkQueue } from './work-queue.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a key waits once, and comes again when it was added while it was processed', async () => {
  const queue = new WorkQueue();
  queue.add('a');
  queue.add('a');
  expect(queue.depth).toBe(1);
  expect(await queue.get()).toBe('a');
  queue.add('a');
  queue.add('a');
  expect([queue.depth, queue.processing]).toEqual([0, 1]);
  queue.done('a');
  expect(await queue.get()).toBe('a');
  queue.done('a');
  expect([queue.depth, queue.processing]).toEqual([0, 0]);
});

test('the earliest of several waits counts', async () => {
  const queue = new WorkQueue();
  queue.addAfter('a', 1_000);
  queue.addAfter('a', 100);
  queue.addAfter('a', 5_000);
  await vi.advanceTimersByTimeAsync(99);
  expect(queue.depth).toBe(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(await queue.get()).toBe('a');
  queue.done('a');
  await vi.advanceTimersByTimeAsync(10_000);
  expect(queue.depth).toBe(0);
});

test('a failing key waits twice as long each time up to the cap, until it is forgotten', () => {
  const queue = new WorkQueue({ rateLimit: { maxMs: 30 } });
  expect([1, 2, 3, 4, 5].map(() => queue.addRateLimited('a'))).toEqual([5, 10, 20, 30, 30]);
  queue.forget('a');
  expect(queue.addRateLimited('a')).toBe(5);
});

test('all retries together pass a bucket', () => {
  const queue = new WorkQueue({ rateLimit: { perSecond: 10, burst: 2 } });
  expect(['a', 'b', 'c', 'd'].map((key) => queue.addRateLimited(key))).toEqual([5, 5, 100, 200]);
});

test('a drain hands out what is ready, and ends when all is done', async () => {
  const queue = new WorkQueue();
  queue.add('a');
  queue.addAfter('later', 10);
  const drained = vi.fn();
  const drain = queue.shutDown({ drain: true }).then(drained);
  queue.add('refused');
  expect(await queue.get()).toBe('a');
  expect(await queue.get()).toBeUndefined();
  expect(drained).not.toHaveBeenCalled();
  queue.done('a');
  await drain;
});

test('the loop retries what failed, leaves what is hopeless, and comes back when asked to', async () => {
  const queue = new WorkQueue();
  const outcomes: string[] = [];
  const runs: string[] = [];
  const loop = new ReconcileLoop({
    name: 'test',
    queue,
    logger: silentLogger,
    onOutcome: (outcome) => outcomes.push(outcome),
    reconcile: async (key) => {
      runs.push(key);
      if (key === 'hopeless') throw new TerminalError('Hopeless', 'No use');
      if (runs.filter((run) => run === key).length === 1) throw new Error('once');
      return { requeueAfterMs: 60_000 };
    },
  });
  loop.start();
  queue.add('hopeless');
  queue.add('a');
  await vi.advanceTimersByTimeAsync(1_000);
  expect([runs, outcomes]).toEqual([
    ['hopeless', 'a', 'a'],
    ['terminal', 'failed', 'requeued'],
  ]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(runs.length).toBe(4);
  await loop.stop();
});
