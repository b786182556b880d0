import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { HandBackError, RetryableError } from '../../src/core/errors.ts';
import type { HandlerContext } from '../../src/core/handler.ts';
import { isFinal } from '../../src/core/job.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { AcceptanceUnknownError, JobAcceptor } from '../../src/ledger/accept.ts';
import { connectDatabase, type Database } from '../../src/ledger/database.ts';
import { cancelJobs, getJobs, retryJobs } from '../../src/ledger/jobs.ts';
import { checkRun, type RunReport } from './checker.ts';
import { anyType, Embedded } from './embedded.ts';
import type { FaultDecision } from './fault-plan.ts';
import { createTestLedger, newJob, type TestLedger } from './ledger.ts';
import { PgFaultProxy } from './pg-fault-proxy.ts';
import { RedisFaultProxy } from './redis-fault-proxy.ts';
import { RunRecorder } from './run-records.ts';
import { waitFor } from './wait-for.ts';

/** What the handler of the type `echo` is told to do; it answers its input. */
export interface EchoInput {
  n: number;
  runMs?: number;
  /** Hands the job back on the first delivery. */
  handBackOnce?: boolean;
  /** Fails with a retryable error on attempts below this one. */
  failBelowAttempt?: number;
}

export interface FaultWorldOptions {
  leaseSeconds?: number;
  renewSeconds?: number;
  windowSize?: number;
  concurrency?: number;
  /** Servers of the test's own, which it may stop. Default to those that all tests share. */
  postgresUrl?: string;
  redisUrl?: string;
}

/**
 * Controller, workers and a client in this process, each talking to PostgreSQL and Redis through a proxy that lies as
 * planned; every step of client and handlers is recorded for the checker. `ledger.db` goes round the proxy.
 */
export class FaultWorld {
  readonly recorder = new RunRecorder();
  readonly ledger: TestLedger;
  readonly pg: PgFaultProxy;
  readonly redis: RedisFaultProxy;
  readonly embedded: Embedded;
  /** The client's own database pool, through the proxy. */
  readonly clientDb: Database;
  readonly acceptor: JobAcceptor;
  /** Ids that the client was told. */
  readonly told: string[] = [];
  readonly #proxiedDb: Database;
  readonly #leases = new Map<string, number>();
  readonly #handedBack = new Set<string>();
  readonly #options: FaultWorldOptions;

  private constructor(
    ledger: TestLedger,
    proxies: { pg: PgFaultProxy; redis: RedisFaultProxy },
    options: FaultWorldOptions,
  ) {
    this.ledger = ledger;
    this.pg = proxies.pg;
    this.redis = proxies.redis;
    this.#options = options;
    this.clientDb = this.#connect('client');
    this.#proxiedDb = this.#connect('controller');
    this.acceptor = new JobAcceptor({ db: this.clientDb, logger: silentLogger });
    this.embedded = new Embedded({
      ledger: {
        ...ledger,
        url: this.pg.through(ledger.url),
        workerUrl: this.pg.through(ledger.workerUrl),
        db: this.#proxiedDb,
      },
      redisUrl: this.redis.url,
      registrations: [anyType('echo', (context) => this.#echo(context))],
      leaseSeconds: options.leaseSeconds ?? 3,
      renewSeconds: options.renewSeconds ?? 1,
      windowSize: options.windowSize ?? 1_000,
      concurrency: options.concurrency ?? 10,
      onClaimed: (job) => this.#leases.set(job.id, job.lease),
    });
  }

  static async start(options: FaultWorldOptions = {}): Promise<FaultWorld> {
    const ledger = await createTestLedger(['echo'], options.postgresUrl);
    const [pg, redis] = await Promise.all([
      PgFaultProxy.start(ledger.url),
      RedisFaultProxy.start(options.redisUrl ?? process.env.LONGSHORE_TEST_REDIS_URL ?? ''),
    ]);
    return new FaultWorld(ledger, { pg, redis }, options);
  }

  /** Starts the leader and one worker. */
  async run(): Promise<void> {
    this.embedded.startController();
    await this.embedded.startWorker();
  }

  /** Submits as a careful client does: after an unknown outcome again, under the same key. Answers the job's id. */
  async submit(input: EchoInput, retries = 2): Promise<string> {
    const key = randomUUID();
    const bodySha256 = createHash('sha256').update(JSON.stringify(input)).digest('hex');
    for (;;) {
      const job = newJob({
        input,
        retries,
        uniqueKey: { scope: 'idempotency', key, bodySha256, ttlSeconds: 600 },
      });
      const call = this.recorder.invoke('submit', { key, bodySha256 });
      try {
        const { jobId, outcome } = await this.acceptor.accept(job);
        call.ok(jobId, outcome === 'created' ? 201 : 200);
        this.told.push(jobId);
        return jobId;
      } catch (error) {
        if (!(error instanceof AcceptanceUnknownError)) throw error;
        call.info(error.code);
      }
    }
  }

  submitAll(count: number, input: Omit<EchoInput, 'n'> = {}): Promise<string[]> {
    return Promise.all(Array.from({ length: count }, (_, n) => this.submit({ n, ...input })));
  }

  /** Cancels or retries until there is an answer. */
  async ask(op: 'cancel' | 'retry', jobId: string): Promise<string> {
    for (;;) {
      const call = this.recorder.invoke(op, { jobId });
      try {
        const change = op === 'cancel' ? cancelJobs : retryJobs;
        const outcome = (await change(this.clientDb, 'default', [jobId])).get(jobId) ?? 'missing';
        if (/cancelled|requested|retried/.test(outcome)) call.ok(jobId, 200);
        else call.fail(409);
        return outcome;
      } catch (error) {
        call.info(String(error));
      }
    }
  }

  /** Waits until every job that the client was told of has ended. */
  async settle(timeoutMs = 30_000): Promise<void> {
    await waitFor(
      async () => {
        const jobs = await getJobs(this.ledger.db, this.told);
        const open = jobs.filter((job) => !isFinal(job.status));
        if (jobs.length === new Set(this.told).size && open.length === 0) return true;
        throw new Error(
          `${open.length} of ${this.told.length} jobs have not ended, among them ${JSON.stringify(open.slice(0, 3))}`,
        );
      },
      { timeoutMs, describe: 'the end of every accepted job' },
    );
  }

  /** What the checker says of the run: everything at rest, each injection verified. */
  async judge(minInjections = 1): Promise<RunReport> {
    for (const { verified, rule } of this.decisions()) {
      if (verified) this.recorder.injected(`${rule.fault} ${rule.name}`);
    }
    return checkRun(
      this.ledger.db,
      { records: this.recorder.records },
      {
        minJobs: 1,
        minInjections,
        leaseSeconds: this.#options.leaseSeconds ?? 3,
        windowSize: this.#options.windowSize ?? 1_000,
      },
    );
  }

  /** Settles, judges, and expects the run to hold. */
  async expectHeld(minInjections = 1): Promise<RunReport> {
    await this.settle();
    const report = await this.judge(minInjections);
    expect(report.reasons, JSON.stringify(report.findings.filter((f) => f.verdict === 'broken'))).toEqual([]);
    expect(report.verdict).toBe('held');
    return report;
  }

  decisions(): FaultDecision[] {
    return [...this.pg.decisions, ...this.redis.decisions];
  }

  async close(): Promise<void> {
    await this.embedded.stop();
    await Promise.all([this.clientDb.end(), this.#proxiedDb.end()]);
    await Promise.all([this.pg.close(), this.redis.close()]);
    await this.ledger.close();
  }

  #connect(applicationName: string): Database {
    return connectDatabase({
      url: this.pg.through(this.ledger.url),
      applicationName,
      statementTimeoutMs: 3_000,
      connectTimeoutMs: 2_000,
      logger: silentLogger,
    });
  }

  async #echo({ job, input, signal }: HandlerContext<unknown>): Promise<unknown> {
    const told = input as EchoInput;
    const delivery = {
      jobId: job.id,
      attempt: job.attempt,
      lease: this.#leases.get(job.id) ?? 0,
      worker: 'in-process',
    };
    this.recorder.witness('start', delivery);
    try {
      if (told.runMs !== undefined) await sleep(told.runMs, undefined, { signal });
      if (told.handBackOnce === true && !this.#handedBack.has(job.id)) {
        this.#handedBack.add(job.id);
        throw new HandBackError('BudgetExhausted', 'Later', 50);
      }
      if (job.attempt < (told.failBelowAttempt ?? 0)) throw new RetryableError('Flaky', 'Not yet');
      return input;
    } catch (error) {
      if (signal.aborted) this.recorder.witness('abort-seen', delivery);
      throw error;
    } finally {
      this.recorder.witness('end', delivery);
    }
  }
}
