import { MAX_PRIORITY, MIN_PRIORITY } from './job.ts';

/**
 * Longshore's priority (−100…100, higher first) as BullMQ's (1…n, lower first; 0 would jump the queue).
 * The range is BullMQ's own: 1 to 2,097,151.
 */
export function toQueuePriority(priority: number): number {
  const bounded = Math.min(MAX_PRIORITY, Math.max(MIN_PRIORITY, Math.trunc(priority)));
  return MAX_PRIORITY - bounded + 1;
}
