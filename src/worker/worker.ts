import { Worker as QueueWorker, type WorkerOptions as QueueWorkerOptions } from 'bullmq';
import { Redis } from 'ioredis';
import type { Registration } from '../core/handler.ts';
import type { Logger } from '../core/logger.ts';
import type { Tracer } from '../core/tracing.ts';
import type { Queryable } from '../ledger/database.ts';
import { WorkerLedger } from '../ledger/worker-ledger.ts';
import { type QueueEntry, queueName } from '../queue/job-queue.ts';
import { JobProcessor, type ProcessorObserver } from './job-processor.ts';
import { LeaseKeeper } from './lease-keeper.ts';

export interface WorkerOptions {
  db: Queryable;
  redisUrl: string;
  /** Prefix of all keys in Redis. */
  prefix: string;
  namespace: string;
  poolSecret: string;
  /** Unique per process, such as host name and process id. */
  workerId: string;
  registrations: readonly Registration[];
  /** Jobs of each type at once. */
  concurrency: number;
  /** Defaults to 30 s. */
  leaseSeconds?: number;
  /** Defaults to 10 s. */
  renewSeconds?: number;
  logger: Logger;
  tracer: Tracer;
  observer: ProcessorObserver;
}

/** How long a worker that must end waits for Redis, which may be away. */
const REDIS_CLOSE_MS = 2_000;

/** Takes jobs of some types off their queues and runs them, until it is drained. */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #ledger: WorkerLedger;
  readonly #leases: LeaseKeeper;
  readonly #processor: JobProcessor;
  #queues: { worker: QueueWorker<QueueEntry>; redis: Redis }[] = [];
  #lastTakenAtMs = performance.now();

  constructor(options: WorkerOptions) {
    this.#options = options;
    const leaseSeconds = options.leaseSeconds ?? 30;
    this.#ledger = new WorkerLedger(options.db, {
      secret: options.poolSecret,
      workerId: options.workerId,
      leaseSeconds,
    });
    this.#leases = new LeaseKeeper({
      ledger: this.#ledger,
      logger: options.logger,
      leaseMs: leaseSeconds * 1_000,
      renewMs: (options.renewSeconds ?? 10) * 1_000,
      session: { types: options.registrations.map((r) => r.type.name), concurrency: options.concurrency },
    });
    this.#processor = new JobProcessor({ ...options, ledger: this.#ledger, leases: this.#leases });
  }

  /** Opens the session and begins to take jobs. Rejects when the ledger refuses the pool's secret. */
  async start(): Promise<void> {
    await this.#leases.start();
    this.#queues = this.#options.registrations.map((registration) => this.#open(registration.type.name));
    await Promise.all(this.#queues.map(({ worker }) => worker.waitUntilReady()));
  }

  /** Running jobs. */
  get active(): number {
    return this.#leases.size;
  }

  /** Milliseconds since a queue entry was taken last. */
  get idleMs(): number {
    return performance.now() - this.#lastTakenAtMs;
  }

  /**
   * Takes nothing more, lets running jobs finish for `graceMs`, hands the rest back at no cost, and ends: also when Redis
   * or the ledger is away.
   */
  async drain(graceMs: number): Promise<void> {
    const closing = this.#queues.map(({ worker }) => worker.close().catch(() => {}));
    const finished = await settledWithin(this.#whenIdle(), graceMs);
    if (!finished) {
      this.#options.logger.info({ jobs: this.active }, 'Handed back the jobs that were not finished in time');
      this.#leases.stopAll('shutdown');
      await settledWithin(this.#whenIdle(), 10_000);
      this.#processor.giveUp();
    }
    await this.#leases.stop();
    await settledWithin(
      this.#ledger.endSession().catch(() => {}),
      2_000,
    );
    await settledWithin(Promise.all(closing), REDIS_CLOSE_MS);
    await settledWithin(
      Promise.all(this.#queues.map(({ worker }) => worker.close(true).catch(() => {}))),
      REDIS_CLOSE_MS,
    );
    for (const { redis } of this.#queues) redis.disconnect();
  }

  async #whenIdle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  readonly #running = new Set<Promise<void>>();

  #open(type: string): { worker: QueueWorker<QueueEntry>; redis: Redis } {
    const redis = new Redis(this.#options.redisUrl, {
      maxRetriesPerRequest: null,
      // Longer than BullMQ's blocking wait of 5 s. A connection that has died in silence would stop the worker for ever.
      socketTimeout: 15_000,
      retryStrategy: (times) => Math.min(2_000, times * 100),
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
    });
    redis.on('error', (error) => this.#options.logger.debug({ err: error, type }, 'Failed to talk to Redis'));
    const options: QueueWorkerOptions = {
      connection: redis,
      prefix: this.#options.prefix,
      concurrency: this.#options.concurrency,
      // BullMQ's stall check is a hint only: the lease in the ledger decides whether a job may run again. It has to be quick
      // for entries that a worker took and died before it claimed them: no lease tells of those.
      maxStalledCount: 1_000,
      lockDuration: 10_000,
      stalledInterval: 5_000,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
      skipVersionCheck: true,
    };
    const worker = new QueueWorker<QueueEntry>(
      queueName(this.#options.namespace, type),
      (job) => {
        this.#lastTakenAtMs = performance.now();
        const running = this.#processor.process({ id: job.data.id, lease: job.data.lease, type });
        this.#running.add(running);
        return running.finally(() => this.#running.delete(running));
      },
      options,
    );
    worker.on('error', (error) =>
      this.#options.logger.warn({ err: error, type }, 'Failed to work on a queue'),
    );
    worker.on('failed', (_job, error) =>
      this.#options.logger.error({ err: error, type }, 'Failed to process a delivery'),
    );
    return { worker, redis };
  }
}

/** Whether `work` settled within `ms`. */
async function settledWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const settled = work.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([settled, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
