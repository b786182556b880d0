import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { Controller } from '../../src/controller/controller.ts';
import { Dispatcher } from '../../src/controller/dispatcher.ts';
import { LedgerWindow } from '../../src/controller/ledger-window.ts';
import { defineHandler, type HandlerContext, type Registration } from '../../src/core/handler.ts';
import { defineJobType } from '../../src/core/job-type.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { noTracer } from '../../src/core/tracing.ts';
import { connectDatabase } from '../../src/ledger/database.ts';
import { LedgerListener } from '../../src/ledger/listener.ts';
import type { ClaimedJob } from '../../src/ledger/worker-ledger.ts';
import type { PeriodicService } from '../../src/lifecycle/service.ts';
import { JobQueue } from '../../src/queue/job-queue.ts';
import { Worker } from '../../src/worker/worker.ts';
import type { TestLedger } from './ledger.ts';

/** A type whose handler is given by the test; input and result are anything. */
export function anyType(
  name: string,
  run: (context: HandlerContext<unknown>) => Promise<unknown>,
): Registration {
  return defineHandler(
    defineJobType({ name, description: 'For tests', input: z.unknown(), result: z.unknown() }),
    run,
  );
}

export interface EmbeddedOptions {
  ledger: TestLedger;
  registrations: readonly Registration[];
  redisUrl?: string;
  leaseSeconds?: number;
  renewSeconds?: number;
  concurrency?: number;
  windowSize?: number;
  /** Further services of the leader. */
  services?: readonly PeriodicService[];
  /** Told of each round of the controller's services. */
  onRound?(service: string): void;
  /** Told of each delivery that a worker of this process claimed. */
  onClaimed?(job: ClaimedJob): void;
}

/** Controller and workers in this process, on the real PostgreSQL and Redis of the test run. */
export class Embedded {
  readonly prefix = `t${randomBytes(4).toString('hex')}`;
  readonly queue: JobQueue;
  readonly #options: EmbeddedOptions;
  readonly #listener: LedgerListener;
  readonly #abort = new AbortController();
  readonly #closers: (() => Promise<unknown>)[] = [];
  #leading: Promise<void> | undefined;
  #workers = 0;

  constructor(options: EmbeddedOptions) {
    this.#options = options;
    this.queue = new JobQueue({ redisUrl: this.redisUrl, prefix: this.prefix, logger: silentLogger });
    this.#listener = new LedgerListener({ url: options.ledger.url, logger: silentLogger });
  }

  get redisUrl(): string {
    const url = this.#options.redisUrl ?? process.env.LONGSHORE_TEST_REDIS_URL;
    if (url === undefined)
      throw new Error('LONGSHORE_TEST_REDIS_URL is not set: run the tests by "make test-integration"');
    return url;
  }

  startController(): void {
    const { db } = this.#options.ledger;
    const dispatcher = new Dispatcher({ db, queue: this.queue, logger: silentLogger });
    const controller = new Controller({
      db,
      queue: this.queue,
      listener: this.#listener,
      dispatcher,
      window: new LedgerWindow({ db, dispatcher }),
      logger: silentLogger,
      leaseSeconds: this.#options.leaseSeconds ?? 30,
      windowSize: this.#options.windowSize ?? 1_000,
      ...(this.#options.services === undefined ? {} : { services: this.#options.services }),
      onRound: (service) => this.#options.onRound?.(service),
    });
    this.#listener.start();
    this.#leading = controller.lead(this.#abort.signal);
  }

  async startWorker(): Promise<Worker> {
    const { ledger } = this.#options;
    this.#workers += 1;
    const workerId = `worker-${this.#workers}`;
    const db = connectDatabase({
      url: ledger.workerUrl,
      applicationName: workerId,
      maxConnections: 2,
      logger: silentLogger,
    });
    const worker = new Worker({
      db,
      redisUrl: this.redisUrl,
      prefix: this.prefix,
      namespace: 'default',
      poolSecret: ledger.poolSecret,
      workerId,
      registrations: this.#options.registrations,
      concurrency: this.#options.concurrency ?? 10,
      leaseSeconds: this.#options.leaseSeconds ?? 30,
      renewSeconds: this.#options.renewSeconds ?? 10,
      logger: silentLogger,
      tracer: noTracer,
      observer: {
        claimed: (job) => this.#options.onClaimed?.(job),
        refused() {},
        committed() {},
        released() {},
      },
    });
    await worker.start();
    this.#closers.push(() => worker.drain(1_000).finally(() => db.end()));
    return worker;
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#leading;
    await Promise.all(this.#closers.map((close) => close()));
    await this.#listener.stop();
    await this.queue.close();
  }
}
