import type { Allotment } from '../ledger/admission.ts';

/**
 * How admitted jobs get from the ledger onto their queues: straight (without a cluster), or by way of a QueueJob each. One
 * contract test holds for every implementation.
 */
export interface Window {
  /** Admits the first `count` waiting jobs of each type. Answers how many were admitted. */
  admit(allotments: readonly Allotment[], signal: AbortSignal): Promise<number>;
  /**
   * Makes room by removing finished jobs that still hold a place, oldest first: up to `wanted`, of which applied ones, which
   * are their users', only as far as there would be less than `least` without. Answers how many places were freed.
   */
  makeRoom(namespace: string, wanted: number, least: number, signal: AbortSignal): Promise<number>;
}
