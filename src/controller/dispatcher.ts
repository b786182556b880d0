import type { Logger } from '../core/logger.ts';
import { noTracer, type Tracer } from '../core/tracing.ts';
import { type Dispatch, listUnconfirmed, takeDispatches } from '../ledger/admission.ts';
import type { Database } from '../ledger/database.ts';
import type { JobQueue } from '../queue/job-queue.ts';

/** The most jobs of one statement and one pipeline. */
const BATCH = 500;

/** A job that was put onto its queue this long ago and was not claimed is looked for. */
const UNCONFIRMED_AFTER_MS = 5_000;

export interface DispatcherOptions {
  db: Database;
  queue: JobQueue;
  logger: Logger;
  /** Defaults to none. */
  tracer?: Tracer;
}

/**
 * Puts admitted jobs onto their queues. The ledger is marked first: what a crash or a dead Redis loses in between is found
 * by {@link resync}, and enqueuing twice makes one entry.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  /** Jobs may be marked in the ledger and not on a queue: an answer or Redis was lost since the last full look. */
  #isInDoubt = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** Enqueues jobs that the ledger has marked already. A Redis that is away is logged: resync repairs it. */
  async enqueue(jobs: readonly Dispatch[]): Promise<void> {
    if (jobs.length === 0) return;
    try {
      await this.#traced(jobs, this.#options.queue.enqueue(jobs));
    } catch (error) {
      this.#isInDoubt = true;
      this.#options.logger.warn(
        { err: error, jobs: jobs.length },
        'Failed to enqueue jobs: they will be enqueued later',
      );
    }
  }

  /** A span in the trace of each job that has one, as long as the shared pipeline takes. */
  async #traced(jobs: readonly Dispatch[], work: Promise<void>): Promise<void> {
    const { tracer = noTracer } = this.#options;
    await Promise.all(
      jobs.map(({ id, type, traceparent }) =>
        traceparent === null || tracer === noTracer
          ? work
          : tracer.span(
              `enqueue ${type}`,
              { parent: traceparent, kind: 'producer', attributes: { 'longshore.job.id': id } },
              () => work,
            ),
      ),
    );
  }

  /** Runs a statement that marks jobs. Its answer may be lost after it was executed: then the next round looks at all. */
  async mark(statement: () => Promise<Dispatch[]>): Promise<Dispatch[]> {
    try {
      return await statement();
    } catch (error) {
      this.#isInDoubt = true;
      throw error;
    }
  }

  /** Enqueues admitted jobs that are due: those of `ids`, or all. Answers how many. */
  async dispatch(ids?: readonly string[]): Promise<number> {
    let total = this.#isInDoubt ? await this.resync(0) : 0;
    for (;;) {
      const jobs = await this.mark(() =>
        takeDispatches(this.#options.db, { limit: BATCH, ...(ids === undefined ? {} : { ids }) }),
      );
      await this.enqueue(jobs);
      total += jobs.length;
      if (jobs.length < BATCH) return total;
    }
  }

  /** Enqueues again what the ledger believes to be on a queue and is not. Answers how many. */
  async resync(olderThanMs = UNCONFIRMED_AFTER_MS): Promise<number> {
    const wasInDoubt = this.#isInDoubt;
    if (olderThanMs === 0) this.#isInDoubt = false;
    try {
      return await this.#repair(olderThanMs);
    } catch (error) {
      this.#isInDoubt ||= wasInDoubt || olderThanMs === 0;
      throw error;
    }
  }

  async #repair(olderThanMs: number): Promise<number> {
    const unconfirmed = await listUnconfirmed(this.#options.db, olderThanMs, 5_000);
    let repaired = 0;
    for (let start = 0; start < unconfirmed.length; start += BATCH) {
      const missing = await this.#options.queue.findMissing(unconfirmed.slice(start, start + BATCH));
      if (missing.length > 0) await this.#options.queue.enqueue(missing);
      repaired += missing.length;
    }
    if (repaired > 0)
      this.#options.logger.warn({ jobs: repaired }, 'Enqueued jobs again whose queue entries were lost');
    return repaired;
  }
}
