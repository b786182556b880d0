import { Batcher } from '../core/batcher.ts';
import { LongshoreError } from '../core/errors.ts';
import type { NewJob } from '../core/job.ts';
import type { Logger } from '../core/logger.ts';
import { type Database, isOutcomeUnknown, isUnavailable, type Queryable } from './database.ts';

/** What became of one submitted job. */
export interface Accepted {
  /** The accepted job, or the one that holds the key already. */
  jobId: string;
  /** `existing`: the key stands for this very body; `conflict`: for another one. */
  outcome: 'created' | 'existing' | 'conflict';
}

/** It is not known whether the job was accepted: the answer of PostgreSQL was lost and the job could not be looked up. */
export class AcceptanceUnknownError extends LongshoreError {
  constructor(cause: unknown) {
    super('AcceptanceUnknown', 'It is not known whether the job was accepted', { cause });
  }
}

/** Inserts jobs in one transaction, all or none. Answers in the order of `jobs`. */
export async function acceptJobs(db: Queryable, jobs: readonly NewJob[]): Promise<Accepted[]> {
  const { rows } = await db.query<{ item_id: string; job_id: string; outcome: Accepted['outcome'] }>(
    '/* accept */ select item_id, job_id, outcome from longshore.accept_jobs($1)',
    [JSON.stringify(jobs.map(toItem))],
  );
  const byItem = new Map(rows.map((row) => [row.item_id, row]));
  return jobs.map((job) => {
    const row = byItem.get(job.id);
    // The same id was there already: an earlier try of this very submission got through.
    return row === undefined
      ? { jobId: job.id, outcome: 'created' }
      : { jobId: row.job_id, outcome: row.outcome };
  });
}

function toItem(job: NewJob): Record<string, unknown> {
  return {
    id: job.id,
    namespace: job.namespace,
    type: job.type,
    priority: job.priority,
    labels: Object.keys(job.labels).length > 0 ? job.labels : null,
    input: job.input,
    timeout_seconds: job.timeoutSeconds,
    retries: job.retries,
    backoff_base_ms: job.backoff.baseMs,
    backoff_max_ms: job.backoff.maxMs,
    ttl_seconds: job.ttlSecondsAfterFinished,
    webhook_url: job.webhook?.url ?? null,
    traceparent: job.traceparent,
    resource_namespace: job.resource?.namespace ?? null,
    resource_name: job.resource?.name ?? null,
    resource_uid: job.resource?.uid ?? null,
    run_at: job.runAtMs === null ? null : new Date(job.runAtMs).toISOString(),
    suspended: job.suspended,
    projected: job.resource !== null,
    ...(job.blobs.length > 0 ? { blobs: job.blobs } : {}),
    ...(job.uniqueKey === null
      ? {}
      : {
          scope: job.uniqueKey.scope,
          key: job.uniqueKey.key,
          body_sha256: job.uniqueKey.bodySha256,
          key_ttl: job.uniqueKey.ttlSeconds,
        }),
  };
}

export interface JobAcceptorOptions {
  db: Database;
  logger: Logger;
  /** Called after each shared insert. */
  onBatch?(batch: { jobs: number; seconds: number; failed: boolean }): void;
  /** Defaults to 5 ms. */
  maxDelayMs?: number;
  /** Jobs that may wait for an insert before `accept` rejects with `BatcherFullError`. Defaults to 5,000. */
  maxQueued?: number;
}

/** Accepts jobs of concurrent requests in shared inserts. */
export class JobAcceptor {
  readonly #options: JobAcceptorOptions;
  readonly #batcher: Batcher<NewJob, Accepted>;

  constructor(options: JobAcceptorOptions) {
    this.#options = options;
    this.#batcher = new Batcher({
      flush: (jobs) => this.#flush(jobs),
      maxDelayMs: options.maxDelayMs ?? 5,
      maxQueued: options.maxQueued ?? 5_000,
      maxItems: 250,
      concurrency: 2,
      isIndivisible: (error) => isUnavailable(error) || error instanceof AcceptanceUnknownError,
    });
  }

  /**
   * Resolves when the job is durable. Rejects with {@link AcceptanceUnknownError}, with a database error, or with
   * `BatcherFullError` when too many wait.
   */
  accept(job: NewJob): Promise<Accepted> {
    return this.#batcher.add(job);
  }

  drain(): Promise<void> {
    return this.#batcher.drain();
  }

  async #flush(jobs: NewJob[]): Promise<Accepted[]> {
    const startedAtMs = performance.now();
    let failed = false;
    try {
      return await acceptJobs(this.#options.db, jobs);
    } catch (error) {
      failed = true;
      if (!isOutcomeUnknown(error)) throw error;
      this.#options.logger.warn(
        { err: error, jobs: jobs.length },
        'Lost the answer to an insert: looking the jobs up',
      );
      return lookUpAccepted(this.#options.db, jobs, error);
    } finally {
      const seconds = (performance.now() - startedAtMs) / 1_000;
      this.#options.onBatch?.({ jobs: jobs.length, seconds, failed });
    }
  }
}

/** After a lost answer: the jobs that are there were accepted, the others are unknown. */
async function lookUpAccepted(db: Queryable, jobs: readonly NewJob[], cause: unknown): Promise<Accepted[]> {
  try {
    const { rows } = await db.query<{ id: string }>(
      '/* accept-lookup */ select id from jobs where id = any ($1)',
      [jobs.map((job) => job.id)],
    );
    const found = new Set(rows.map((row) => row.id));
    return jobs.map((job) =>
      found.has(job.id)
        ? { jobId: job.id, outcome: 'created' }
        : (new AcceptanceUnknownError(cause) as never),
    );
  } catch {
    throw new AcceptanceUnknownError(cause);
  }
}
