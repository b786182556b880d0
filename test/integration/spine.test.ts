import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HandBackError, RetryableError, TerminalError } from '../../src/core/errors.ts';
import type { HandlerContext } from '../../src/core/handler.ts';
import { isFinal, type Job } from '../../src/core/job.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { cancelJobs, getJob } from '../../src/ledger/jobs.ts';
import { anyType, Embedded } from '../support/embedded.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

let ledger: TestLedger;
let embedded: Embedded;
let admissions: number;
let run: (context: HandlerContext<unknown>) => Promise<unknown>;

beforeEach(async () => {
  ledger = await createTestLedger(['echo']);
  admissions = 0;
  embedded = new Embedded({
    ledger,
    registrations: [anyType('echo', (context) => run(context))],
    leaseSeconds: 3,
    renewSeconds: 1,
    onRound(service) {
      if (service === 'admission') admissions += 1;
    },
  });
  run = async (context) => context.input;
});
afterEach(async () => {
  await embedded.stop();
  await ledger.close();
});

function ended(id: string, timeoutMs = 15_000): Promise<Job | null> {
  return waitFor(
    () => getJob(ledger.db, 'default', id),
    (job) => job !== null && isFinal(job.status),
    {
      timeoutMs,
      describe: `the end of job ${id}`,
    },
  );
}

describe('a job', () => {
  it('goes from the ledger over the queue to its result', async () => {
    embedded.startController();
    await embedded.startWorker();
    const jobs = Array.from({ length: 100 }, (_, n) => newJob({ input: { n } }));
    await acceptJobs(ledger.db, jobs);
    for (const job of jobs)
      expect(await ended(job.id)).toMatchObject({ status: 'SUCCESS', result: job.input, attempt: 1 });
  });

  it('waits in the ledger until a worker for it runs', async () => {
    embedded.startController();
    const job = newJob();
    await acceptJobs(ledger.db, [job]);
    const before = admissions;
    // The first of them may have begun before the job was there.
    await waitFor(
      () => admissions,
      (rounds) => rounds >= before + 2,
      { describe: 'two rounds of admission' },
    );
    expect(await getJob(ledger.db, 'default', job.id)).toMatchObject({
      status: 'CREATED',
      admittedAtMs: null,
    });
    await embedded.startWorker();
    expect(await ended(job.id)).toMatchObject({ status: 'SUCCESS' });
  });

  it('is tried again after a retryable error and ends at once after a terminal one', async () => {
    const attempts = new Map<string, number>();
    run = async ({ job, input }) => {
      attempts.set(job.id, (attempts.get(job.id) ?? 0) + 1);
      if (input === 'terminal') throw new TerminalError('BadThing', 'It is bad');
      if (job.attempt < 3) throw new RetryableError('Flaky', 'Not yet');
      return 'done';
    };
    embedded.startController();
    await embedded.startWorker();
    const [flaky, terminal] = [newJob({ input: 'flaky' }), newJob({ input: 'terminal' })];
    await acceptJobs(ledger.db, [flaky, terminal]);
    expect(await ended(flaky.id)).toMatchObject({
      status: 'SUCCESS',
      attempt: 3,
      failures: 2,
      result: 'done',
    });
    expect(await ended(terminal.id)).toMatchObject({
      status: 'ERROR',
      error: { code: 'BadThing', retryable: false },
    });
    expect(attempts.get(terminal.id)).toBe(1);
  });

  it('handed back for a budget comes again at no cost', async () => {
    let first = true;
    run = async () => {
      if (!first) return 'ok';
      first = false;
      throw new HandBackError('BudgetExhausted', 'Later', 200);
    };
    embedded.startController();
    await embedded.startWorker();
    const job = newJob({ retries: 0 });
    await acceptJobs(ledger.db, [job]);
    expect(await ended(job.id)).toMatchObject({
      status: 'SUCCESS',
      failures: 0,
      attempt: 1,
      interruptions: 0,
    });
  });

  it('that runs is cancelled by its AbortSignal', async () => {
    let reason: unknown;
    run = ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reason = signal.reason;
          reject(signal.reason);
        });
      });
    embedded.startController();
    await embedded.startWorker();
    const job = newJob();
    await acceptJobs(ledger.db, [job]);
    await waitFor(
      () => getJob(ledger.db, 'default', job.id),
      (j) => j?.status === 'PROCESS',
    );
    await cancelJobs(ledger.db, 'default', [job.id]);
    expect(await ended(job.id)).toMatchObject({ status: 'CANCELLED' });
    expect(reason).toMatchObject({ reason: 'cancelled' });
  });

  it('that overruns its deadline ends in ERROR', async () => {
    run = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    embedded.startController();
    await embedded.startWorker();
    const job = newJob({ timeoutSeconds: 1 });
    await acceptJobs(ledger.db, [job]);
    expect(await ended(job.id)).toMatchObject({ status: 'ERROR', error: { code: 'DeadlineExceeded' } });
  });
});

describe('what is lost', () => {
  it('a worker that drains hands its jobs back at no cost', async () => {
    const started: number[] = [];
    run = ({ job, signal }) =>
      new Promise((resolve, reject) => {
        started.push(job.attempt);
        if (started.length > 1) resolve('second');
        else signal.addEventListener('abort', () => reject(signal.reason));
      });
    embedded.startController();
    const first = await embedded.startWorker();
    const job = newJob({ retries: 0 });
    await acceptJobs(ledger.db, [job]);
    await waitFor(
      () => started.length,
      (n) => n === 1,
    );
    await embedded.startWorker();
    await first.drain(50);
    expect(await ended(job.id)).toMatchObject({
      status: 'SUCCESS',
      result: 'second',
      attempt: 1,
      failures: 0,
      interruptions: 0,
    });
  });

  it('an emptied Redis costs no job', async () => {
    embedded.startController();
    const worker = await embedded.startWorker();
    const gate = Promise.withResolvers<void>();
    run = async ({ input }) => {
      await gate.promise;
      return input;
    };
    const jobs = Array.from({ length: 60 }, (_, n) => newJob({ input: n }));
    await acceptJobs(ledger.db, jobs);
    await waitFor(
      () => worker.active,
      (n) => n === 10,
    );
    await dropKeys(embedded);
    gate.resolve();
    for (const job of jobs)
      expect(await ended(job.id)).toMatchObject({ status: 'SUCCESS', result: job.input });
  });
});

/** What FLUSHALL does, to this test's keys alone. */
async function dropKeys({ redisUrl, prefix }: Embedded): Promise<void> {
  const { Redis } = await import('ioredis');
  const redis = new Redis(redisUrl);
  const keys = await redis.keys(`${prefix}:*`);
  await redis.del(...keys);
  redis.disconnect();
}
