import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../core/logger.ts';

export interface WaitOptions {
  logger: Logger;
  /** Ends the waiting; the promise then rejects with the signal's reason. */
  signal: AbortSignal;
  /** Deadline of one probe. Defaults to 5,000. */
  probeTimeoutMs?: number;
  /** First pause between two probes; it doubles. Defaults to 250. */
  baseMs?: number;
  /** Longest pause. Defaults to 10,000. */
  maxMs?: number;
  /** How long to pause after this failure, where the dependency says so itself. */
  pauseAfter?(error: unknown): number | undefined;
}

/**
 * Waits until a dependency answers, however long that takes: a process that starts before its database must not die.
 * Resolves with what the probe answered.
 *
 * @param name - As a reader of the log knows it, such as `PostgreSQL`.
 * @param probe - Resolves when the dependency is usable; its rejection says why not.
 */
export async function waitForDependency<Answer>(
  name: string,
  probe: (signal: AbortSignal) => Promise<Answer>,
  options: WaitOptions,
): Promise<Answer> {
  const { logger, signal, probeTimeoutMs = 5_000, baseMs = 250, maxMs = 10_000 } = options;
  const startedAt = performance.now();
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      const answer = await withDeadline(probe, probeTimeoutMs, signal);
      if (attempt > 1)
        logger.info({ dependency: name, attempt, waitedMs: since(startedAt) }, 'Dependency became available');
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 20));
      const jittered = Math.round(ceiling / 2 + (ceiling / 2) * Math.random());
      const retryInMs = options.pauseAfter?.(error) ?? jittered;
      const reason = describe(error);
      logger.warn(
        { dependency: name, attempt, waitedMs: since(startedAt), retryInMs, reason },
        'Waited for dependency',
      );
      await delay(retryInMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

function since(startedAt: number): number {
  return Math.round(performance.now() - startedAt);
}

/** An AggregateError of `connect` (one error per address) has an empty message of its own. */
function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describe).join('; ');
  return error instanceof Error ? error.message : String(error);
}

/**
 * Runs `work` with a signal that aborts at the deadline or with `parent`, and rejects then even if `work` does not
 * listen to it.
 */
export async function withDeadline<Answer>(
  work: (signal: AbortSignal) => Promise<Answer> | Answer,
  timeoutMs: number,
  parent?: AbortSignal,
): Promise<Answer> {
  const controller = new AbortController();
  const late = setTimeout(() => controller.abort(new Error(`No answer within ${timeoutMs} ms`)), timeoutMs);
  const cancel = () => controller.abort(parent?.reason);
  parent?.addEventListener('abort', cancel, { once: true });
  if (parent?.aborted) cancel();
  try {
    const aborted = new Promise<never>((_, reject) => {
      const fail = () => reject(controller.signal.reason);
      controller.signal.addEventListener('abort', fail, { once: true });
      if (controller.signal.aborted) fail();
    });
    return await Promise.race([aborted, Promise.resolve(controller.signal).then(work)]);
  } finally {
    clearTimeout(late);
    parent?.removeEventListener('abort', cancel);
  }
}
