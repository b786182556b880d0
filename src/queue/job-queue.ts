import { type JobsOptions, Queue } from 'bullmq';
import { Redis } from 'ioredis';
import type { Logger } from '../core/logger.ts';
import { toQueuePriority } from '../core/priority.ts';

/** What a queue entry carries: ids only, so that nothing which matters is only in Redis. */
export interface QueueEntry {
  id: string;
  attempt: number;
  /** The job's lease number when it was enqueued: the claim refuses any other. */
  lease: number;
  traceparent?: string;
}

/** A job to enqueue. */
export interface Enqueue extends Omit<QueueEntry, 'traceparent'> {
  namespace: string;
  type: string;
  priority: number;
  traceparent: string | null;
}

export function queueName(namespace: string, type: string): string {
  return `${namespace}.${type}`;
}

/**
 * The id of a queue entry: a function of the ledger's state, so that enqueuing twice makes one entry, and a redelivery is
 * not taken for the entry that a dead worker still holds.
 */
export function queueEntryId(entry: { id: string; attempt: number; lease: number }): string {
  return entry.lease === 0 ? `${entry.id}-${entry.attempt}` : `${entry.id}-${entry.attempt}-${entry.lease}`;
}

const ENTRY_OPTIONS: JobsOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };

export interface JobQueueOptions {
  redisUrl: string;
  prefix: string;
  logger: Logger;
  /** The longest wait for Redis. Defaults to 5 s. */
  commandTimeoutMs?: number;
}

/** The producer's side of the queues. Every call fails fast when Redis is away: the ledger keeps what is to be enqueued. */
export class JobQueue {
  readonly #redis: Redis;
  readonly #queues = new Map<string, Queue<QueueEntry>>();
  readonly #options: JobQueueOptions;

  constructor(options: JobQueueOptions) {
    this.#options = options;
    this.#redis = new Redis(options.redisUrl, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
      connectTimeout: 5_000,
      commandTimeout: options.commandTimeoutMs ?? 5_000,
      // A connection on which nothing is answered is replaced: a command's time-out alone would keep it for ever.
      socketTimeout: options.commandTimeoutMs ?? 5_000,
      retryStrategy: (times) => Math.min(2_000, times * 100),
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
    });
    this.#redis.on('error', (error) => options.logger.debug({ err: error }, 'Failed to talk to Redis'));
  }

  /** Puts jobs onto their queues, one pipeline a queue. Enqueuing the same delivery twice changes nothing. */
  async enqueue(jobs: readonly Enqueue[]): Promise<void> {
    const byQueue = Map.groupBy(jobs, (job) => queueName(job.namespace, job.type));
    await Promise.all(
      [...byQueue].map(([name, entries]) =>
        this.#queue(name).addBulk(
          entries.map((job) => ({
            name: job.type,
            data: {
              id: job.id,
              attempt: job.attempt,
              lease: job.lease,
              ...(job.traceparent === null ? {} : { traceparent: job.traceparent }),
            },
            opts: { ...ENTRY_OPTIONS, jobId: queueEntryId(job), priority: toQueuePriority(job.priority) },
          })),
        ),
      ),
    );
  }

  /** Which of the deliveries have no entry on their queue. */
  async findMissing<T extends Enqueue>(jobs: readonly T[]): Promise<T[]> {
    const pipeline = this.#redis.pipeline();
    for (const job of jobs) {
      pipeline.exists(`${this.#options.prefix}:${queueName(job.namespace, job.type)}:${queueEntryId(job)}`);
    }
    const answers = (await pipeline.exec()) ?? [];
    return jobs.filter((_, index) => {
      const [error, exists] = answers[index] ?? [new Error('Redis answered too little')];
      if (error) throw error;
      return exists === 0;
    });
  }

  /** Takes entries that wait off their queue; entries that a worker holds stay. */
  async remove(jobs: readonly Enqueue[]): Promise<void> {
    await Promise.all(
      jobs.map((job) =>
        this.#queue(queueName(job.namespace, job.type))
          .remove(queueEntryId(job))
          .catch(() => 0),
      ),
    );
  }

  /**
   * Whether Redis still is the one that it was: true when the epoch key was there. When it was not, Redis has lost its
   * data (or is new), the key is set again, and everything in the window has to be enqueued again.
   */
  async keepEpoch(epoch: string): Promise<boolean> {
    const found = await this.#redis.set(`${this.#options.prefix}:epoch`, epoch, 'NX');
    return found === null;
  }

  /** Null when Redis is fit for a queue, else what is wrong with it. */
  async problem(): Promise<string | null> {
    const answer = await this.#redis.config('GET', 'maxmemory-policy').catch((error: Error) => error);
    if (answer instanceof Error) {
      // A Redis that forbids CONFIG answers; one that is away does not.
      return /NOPERM|unknown command/i.test(answer.message) ? null : 'Redis does not answer';
    }
    const policy = (answer as string[])[1];
    return policy === undefined || policy === 'noeviction'
      ? null
      : `Redis evicts keys (maxmemory-policy ${policy}): set it to noeviction`;
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#queues.values()].map((queue) => queue.close()));
    this.#redis.disconnect();
  }

  #queue(name: string): Queue<QueueEntry> {
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      queue = new Queue<QueueEntry>(name, {
        connection: this.#redis,
        prefix: this.#options.prefix,
        skipMetasUpdate: true,
        skipVersionCheck: true,
      });
      queue.on('error', (error) =>
        this.#options.logger.debug({ err: error, queue: name }, 'Failed to talk to Redis'),
      );
      this.#queues.set(name, queue);
    }
    return queue;
  }
}
