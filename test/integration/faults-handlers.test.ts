import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HandlerContext } from '../../src/core/handler.ts';
import { isFinal, type Job } from '../../src/core/job.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { cancelJobs, getJob } from '../../src/ledger/jobs.ts';
import { anyType, Embedded } from '../support/embedded.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

/** Handlers that behave badly end, and cost their neighbours nothing. */
let ledger: TestLedger;
let embedded: Embedded;
let run: (context: HandlerContext<unknown>) => Promise<unknown>;

beforeEach(async () => {
  ledger = await createTestLedger(['echo']);
  embedded = new Embedded({
    ledger,
    registrations: [anyType('echo', (context) => run(context))],
    leaseSeconds: 3,
    renewSeconds: 1,
  });
  embedded.startController();
  await embedded.startWorker();
});
afterEach(async () => {
  await embedded.stop();
  await ledger.close();
});

function ended(id: string): Promise<Job> {
  return waitFor(
    async () => {
      const job = await getJob(ledger.db, 'default', id);
      return job !== null && isFinal(job.status) ? job : null;
    },
    { timeoutMs: 15_000, describe: `the end of job ${id}` },
  );
}

describe('what PostgreSQL refuses to store', () => {
  it('as a result ends the job, and its neighbours of the same batch commit', async () => {
    run = async ({ input }) =>
      input === 'nul' ? { text: 'a\u0000b' } : input === 'surrogate' ? '\ud800' : input;
    const [nul, surrogate] = [newJob({ input: 'nul' }), newJob({ input: 'surrogate' })];
    const neighbours = Array.from({ length: 20 }, (_, n) => newJob({ input: n }));
    await acceptJobs(ledger.db, [nul, surrogate, ...neighbours]);
    for (const { id } of [nul, surrogate]) {
      expect(await ended(id)).toMatchObject({
        status: 'ERROR',
        error: { code: 'ResultNotStorable', retryable: false },
      });
    }
    for (const { id } of neighbours)
      expect(await ended(id)).toMatchObject({ status: 'SUCCESS', interruptions: 0 });
  });

  it('as progress keeps no lease from being renewed', async () => {
    run = async ({ input, progress, signal }) => {
      if (input === 'nul') progress(0.5, 'half\u0000way \ud800');
      await sleep(5_000, undefined, { signal });
      return input;
    };
    const jobs = [newJob({ input: 'nul' }), newJob({ input: 'neighbour' })];
    await acceptJobs(ledger.db, jobs);
    for (const { id } of jobs) expect(await ended(id)).toMatchObject({ status: 'SUCCESS', interruptions: 0 });
  });
});

describe('a handler that ignores its AbortSignal', () => {
  it('is left behind: its job is cancelled, and its place is free again', async () => {
    const never = Promise.withResolvers<void>();
    run = async ({ input }) => {
      if (input === 'deaf') await never.promise;
      return input;
    };
    const deaf = newJob({ input: 'deaf' });
    await acceptJobs(ledger.db, [deaf]);
    await waitFor(async () => (await getJob(ledger.db, 'default', deaf.id))?.status === 'PROCESS', {
      describe: 'the start of the deaf job',
    });
    await cancelJobs(ledger.db, 'default', [deaf.id]);
    expect(await ended(deaf.id)).toMatchObject({ status: 'CANCELLED', interruptions: 0 });
    const others = Array.from({ length: 10 }, () => newJob({ input: 'quick' }));
    await acceptJobs(ledger.db, others);
    for (const { id } of others) expect(await ended(id)).toMatchObject({ status: 'SUCCESS' });
    never.resolve();
  });
});

describe('the queue', () => {
  it('may suggest one delivery many times: it runs once', async () => {
    let runs = 0;
    run = async () => {
      runs += 1;
      await sleep(200);
      return runs;
    };
    const job = newJob();
    await acceptJobs(ledger.db, [job]);
    const stale = { namespace: 'default', type: 'echo', priority: 0, id: job.id, traceparent: null };
    // Attempt numbers are part of an entry's name only, so these are many entries that suggest one delivery.
    await embedded.queue.enqueue([2, 3, 4, 5, 6].map((attempt) => ({ ...stale, attempt, lease: 0 })));
    await embedded.queue.enqueue([7, 8].map((attempt) => ({ ...stale, attempt, lease: 1 })));
    expect(await ended(job.id)).toMatchObject({ status: 'SUCCESS', result: 1 });
    expect(runs).toBe(1);
  });
});
