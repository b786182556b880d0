import { setTimeout as sleep } from 'node:timers/promises';
import { Batcher } from '../core/batcher.ts';
import { HandBackError, RetryableError, sanitizeText, toJobError } from '../core/errors.ts';
import type { Registration } from '../core/handler.ts';
import type { Logger } from '../core/logger.ts';
import type { Tracer } from '../core/tracing.ts';
import { isDataRefused, isUnavailable } from '../ledger/database.ts';
import type {
  ClaimedJob,
  ClaimRefusal,
  ClaimRequest,
  Commit,
  Committed,
  Outcome,
  WorkerLedger,
} from '../ledger/worker-ledger.ts';
import { createHandlerContext, type ProducedBlob } from './handler-context.ts';
import { JobStopped, type LeaseKeeper, type StopReason } from './lease-keeper.ts';

/** What the processor tells of its work, for metrics. */
export interface ProcessorObserver {
  claimed(job: ClaimedJob): void;
  refused(type: string, reason: ClaimRefusal): void;
  committed(job: ClaimedJob, outcome: Outcome['outcome'], committed: Committed, runMs: number): void;
  /** The delivery is over, whatever became of it. */
  released(job: ClaimedJob): void;
}

export interface JobProcessorOptions {
  ledger: WorkerLedger;
  leases: LeaseKeeper;
  registrations: readonly Registration[];
  logger: Logger;
  tracer: Tracer;
  observer: ProcessorObserver;
  /** How long a handler that was told to stop may take before it is left behind. Defaults to 5 s. */
  abandonAfterMs?: number;
}

const MAX_RETRY_DELAY_MS = 2_000;
const MAX_RESULT_BYTES = 1_024 * 1_024;

/** Runs deliveries: claim, handler, commit. The queue only suggests them; the claim decides. */
export class JobProcessor {
  readonly #options: JobProcessorOptions;
  readonly #registrations: Map<string, Registration>;
  readonly #claims: Batcher<ClaimRequest, ClaimedJob | { refused: ClaimRefusal }>;
  readonly #commits: Batcher<Commit, Committed>;
  readonly #stopping = new AbortController();
  /** Suggestions whose claim is under way, so that the same one twice is not granted twice. */
  readonly #claiming = new Set<string>();
  /** Claimed jobs, by id. */
  readonly #deliveries = new Map<string, { lease: number; ended: Promise<void> }>();

  constructor(options: JobProcessorOptions) {
    this.#options = options;
    this.#registrations = new Map(options.registrations.map((r) => [r.type.name, r]));
    // One batch of each kind at a time: the two connections of a worker are enough, and the batches grow under load.
    const shared = { concurrency: 1, isIndivisible: isUnavailable };
    this.#claims = new Batcher({
      flush: (requests) => options.ledger.claim(requests),
      maxDelayMs: 5,
      ...shared,
    });
    this.#commits = new Batcher({
      flush: (commits) => options.ledger.commit(commits),
      maxDelayMs: 10,
      maxItems: 100,
      ...shared,
    });
  }

  /** Gives up whatever waits for the ledger; called when the worker must end now. */
  giveUp(): void {
    this.#stopping.abort(new JobStopped('shutdown'));
  }

  /** Takes one suggestion of the queue to its end. Resolves also when it is refused or the job fails. */
  async process(suggestion: ClaimRequest & { type: string }): Promise<void> {
    const key = `${suggestion.id}/${suggestion.lease}`;
    if (this.#claiming.has(key)) return;
    const earlier = this.#deliveries.get(suggestion.id);
    if (earlier !== undefined) {
      // The queue may suggest again what we are running: a stall check of a busy Redis does.
      if (suggestion.lease < earlier.lease) return;
      // The next delivery of a job whose last one we are about to leave: its answer was lost, or its handler is deaf.
      await earlier.ended;
    }
    this.#claiming.add(key);
    const { job, claimedAtMs } = await this.#claim({ id: suggestion.id, lease: suggestion.lease }).finally(
      () => this.#claiming.delete(key),
    );
    if ('refused' in job) {
      this.#options.observer.refused(suggestion.type, job.refused);
      this.#options.logger.debug({ job_id: suggestion.id, reason: job.refused }, 'Dropped a queue entry');
      return;
    }
    this.#options.observer.claimed(job);
    const signal = this.#options.leases.hold(job.id, job.lease, claimedAtMs);
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    this.#deliveries.set(job.id, { lease: job.lease, ended });
    try {
      await this.#options.tracer.span(
        `process ${job.type}`,
        {
          parent: job.traceparent,
          kind: 'consumer',
          attributes: {
            'longshore.job.id': job.id,
            'longshore.job.attempt': job.attempt,
            'longshore.job.lease': job.lease,
          },
        },
        () => this.#runAndCommit(job, signal),
      );
    } finally {
      this.#options.leases.release(job.id);
      this.#options.observer.released(job);
      this.#deliveries.delete(job.id);
      end();
    }
  }

  async #runAndCommit(job: ClaimedJob, signal: AbortSignal): Promise<void> {
    const logger = this.#options.logger.child({ job_id: job.id, type: job.type, attempt: job.attempt });
    const startedAtMs = performance.now();
    const outcome = await this.#run(job, signal, logger);
    const runMs = Math.round(performance.now() - startedAtMs);
    if (outcome === null) {
      logger.warn({ runMs }, 'Stopped a job whose lease was lost');
      return;
    }
    const committed = await this.#commit(job, outcome);
    const { verdict, status } = committed;
    this.#options.observer.committed(job, outcome.outcome, committed, runMs);
    logger.info(
      {
        outcome: outcome.outcome,
        verdict,
        status,
        runMs,
        ...('error' in outcome ? { error: outcome.error } : {}),
      },
      'Finished a delivery',
    );
  }

  /** Runs the handler; null when the lease was lost, so that nothing may be said about the job. */
  async #run(job: ClaimedJob, signal: AbortSignal, logger: Logger): Promise<Outcome | null> {
    const deadline = setTimeout(
      () => this.#options.leases.stopJob(job.id, 'deadline'),
      job.timeoutSeconds * 1_000,
    );
    const produced: ProducedBlob[] = [];
    try {
      const result = await this.#stoppable(this.#callHandler(job, signal, logger, produced), signal);
      return toSuccess(result, produced);
    } catch (error) {
      if (signal.aborted && signal.reason instanceof JobStopped) return toStopped(signal.reason.reason, job);
      if (error instanceof HandBackError) {
        return { outcome: 'handed_back', delayMs: error.delayMs, error: toJobError(error) };
      }
      const delayMs = error instanceof RetryableError ? error.retryAfterMs : undefined;
      return { outcome: 'failed', error: toJobError(error), ...(delayMs === undefined ? {} : { delayMs }) };
    } finally {
      clearTimeout(deadline);
    }
  }

  async #callHandler(
    job: ClaimedJob,
    signal: AbortSignal,
    logger: Logger,
    produced: ProducedBlob[],
  ): Promise<unknown> {
    const registration = this.#registrations.get(job.type);
    if (registration === undefined)
      throw new HandBackError('UnknownType', 'This worker has no handler for the type', 1_000);
    const context = createHandlerContext({
      job,
      input: registration.type.input.parse(job.input),
      ledger: this.#options.ledger,
      logger,
      signal,
      tracer: this.#options.tracer,
      produced,
      onProgress: (fraction, message) => this.#options.leases.report(job.id, { fraction, message }),
    });
    const result = registration.type.result.parse(await registration.run(context));
    return result;
  }

  /** Leaves a handler behind that does not end although it was told to. */
  #stoppable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const onAbort = (): void => {
        timer = setTimeout(() => {
          this.#options.logger.warn({}, 'Left a handler behind that ignored its AbortSignal');
          reject(signal.reason);
        }, this.#options.abandonAfterMs ?? 5_000);
      };
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
      work.then(resolve, reject).finally(() => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
      });
    });
  }

  /** Claims, waiting for a ledger that is away: the queue entry must not be spent on its outage. */
  async #claim(request: ClaimRequest): Promise<{
    job: ClaimedJob | { refused: ClaimRefusal };
    /** Our clock before the call that was answered: the lease is counted from there, not from an outage before it. */
    claimedAtMs: number;
  }> {
    let delayMs = 100;
    let again = false;
    for (;;) {
      const claimedAtMs = performance.now();
      try {
        const job = await this.#claims.add(again ? { ...request, again } : request);
        return { job, claimedAtMs };
      } catch (error) {
        again = true;
        this.#options.logger.warn({ err: error, job_id: request.id }, 'Failed to claim a job: trying again');
        await sleep(delayMs, undefined, { signal: this.#stopping.signal });
        delayMs = Math.min(MAX_RETRY_DELAY_MS, delayMs * 2);
      }
    }
  }

  /** Commits; repeats as long as the lease may still be ours, which is safe because the lease lets it through once. */
  async #commit(job: ClaimedJob, outcome: Outcome): Promise<Committed> {
    let delayMs = 100;
    for (;;) {
      try {
        return await this.#commits.add({ id: job.id, lease: job.lease, ...outcome });
      } catch (error) {
        // Trying again what is refused for its contents would keep the job, and its lease, for ever.
        if (isDataRefused(error) && outcome.outcome === 'succeeded')
          return this.#commit(job, toRefused(error));
        this.#options.leases.assertHeld(job.id);
        this.#options.logger.warn({ err: error, job_id: job.id }, 'Failed to commit a job: trying again');
        await sleep(delayMs, undefined, { signal: this.#stopping.signal });
        delayMs = Math.min(MAX_RETRY_DELAY_MS, delayMs * 2);
      }
    }
  }
}

function toSuccess(result: unknown, blobs: ProducedBlob[]): Outcome {
  const bytes = Buffer.byteLength(JSON.stringify(result ?? null));
  if (bytes > MAX_RESULT_BYTES) {
    const message = `The result has ${bytes} bytes; at most ${MAX_RESULT_BYTES} are kept: store it as a blob`;
    return { outcome: 'failed', error: { code: 'ResultTooLarge', message, retryable: false } };
  }
  return { outcome: 'succeeded', result: result ?? null, blobs };
}

function toRefused(error: unknown): Outcome {
  const message = sanitizeText(`The ledger cannot store the result: ${(error as Error).message}`);
  return { outcome: 'failed', error: { code: 'ResultNotStorable', message, retryable: false } };
}

function toStopped(reason: StopReason, job: ClaimedJob): Outcome | null {
  switch (reason) {
    case 'lost':
      return null;
    case 'cancelled':
      return { outcome: 'cancelled' };
    case 'shutdown':
      return { outcome: 'handed_back', delayMs: 0 };
    case 'deadline':
      return {
        outcome: 'failed',
        error: {
          code: 'DeadlineExceeded',
          message: `The job did not end within its ${job.timeoutSeconds} s`,
          retryable: false,
        },
      };
    default:
      return reason satisfies never;
  }
}
