import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { defineHandler, defineJobType, RetryableError, startWorker } from '../../src/worker/public.ts';

/**
 * A worker process of its own whose type `echo` does what its input says, and tells a witness file of each step with a
 * synchronous append, which outlives a SIGKILL.
 */
const input = z.object({
  n: z.number().optional(),
  runMs: z.number().optional(),
  failBelowAttempt: z.number().optional(),
  /** `exit` ends the process; `spin` blocks its event loop for `runMs`. */
  poison: z.enum(['exit', 'spin']).optional(),
});

const type = defineJobType({ name: 'echo', description: 'For fault tests', input, result: z.unknown() });

/** Monotonic on the whole machine, so that records of all processes have one clock. */
function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function tell(kind: string, job: { id: string; attempt: number }): void {
  const record = { kind, t: nowMs(), jobId: job.id, attempt: job.attempt, pid: process.pid };
  appendFileSync(process.env.FAULT_WITNESS ?? '', `${JSON.stringify(record)}\n`);
}

const echo = defineHandler(type, async (context) => {
  const { runMs = 0, poison, failBelowAttempt = 0 } = context.input;
  tell('start', context.job);
  try {
    if (poison === 'exit') process.exit(1);
    if (poison === 'spin') spin(runMs);
    else if (runMs > 0) await sleep(runMs, undefined, { signal: context.signal });
    if (context.job.attempt < failBelowAttempt) throw new RetryableError('Flaky', 'Not yet');
    tell('effect', context.job);
    return context.input;
  } catch (error) {
    if (context.signal.aborted) tell('abort-seen', context.job);
    throw error;
  } finally {
    tell('end', context.job);
  }
});

function spin(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

await startWorker([echo]);
