import { TerminalError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { WorkQueue } from './work-queue.ts';

export interface ReconcileContext {
  /** Aborted at the deadline of this run and when the loop stops. */
  signal: AbortSignal;
  /** Carries `reconcileId`, so that the lines of one run can be joined. */
  logger: Logger;
}

export interface ReconcileResult {
  /** Comes again after this even when nothing happens. */
  requeueAfterMs?: number;
}

/**
 * Makes the world as it should be for one key, whatever made the key come up. Throwing means: again, later each time; a
 * `TerminalError` means that only a change of the object can help.
 */
export type Reconcile = (key: string, context: ReconcileContext) => Promise<ReconcileResult>;

export type ReconcileOutcome = 'done' | 'requeued' | 'failed' | 'terminal';

export interface ReconcileLoopOptions {
  /** Names the controller in log lines and metrics. */
  name: string;
  queue: WorkQueue;
  reconcile: Reconcile;
  logger: Logger;
  /** Keys at once. Defaults to 4. */
  concurrency?: number;
  /** Deadline of one run. Defaults to 60,000. */
  timeoutMs?: number;
  /** For metrics. */
  onOutcome?: (outcome: ReconcileOutcome, durationMs: number) => void;
}

/** Workers that take keys from a queue and reconcile them. */
export class ReconcileLoop {
  readonly #options: ReconcileLoopOptions;
  readonly #timeoutMs: number;
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  #workers: Promise<void>[] = [];
  #runs = 0;

  constructor(options: ReconcileLoopOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 60_000;
    this.#logger = options.logger.child({ controller: options.name });
  }

  /** To be called once the reflectors are in sync. */
  start(): void {
    if (this.#workers.length > 0) throw new TypeError('The reconcile loop was started already');
    const concurrency = this.#options.concurrency ?? 4;
    this.#workers = Array.from({ length: concurrency }, () => this.#work());
  }

  /**
   * Takes no further key and resolves when the runs under way have ended; they are aborted after `timeoutMs`.
   *
   * @param options.timeoutMs - Defaults to 10,000.
   */
  async stop(options: { timeoutMs?: number } = {}): Promise<void> {
    const timer = setTimeout(() => this.#stopping.abort(), options.timeoutMs ?? 10_000);
    await this.#options.queue.shutDown();
    await Promise.all(this.#workers);
    clearTimeout(timer);
  }

  async #work(): Promise<void> {
    const { queue } = this.#options;
    for (;;) {
      const key = await queue.get();
      if (key === undefined) return;
      const startedAt = performance.now();
      const outcome = await this.#runOnce(key);
      queue.done(key);
      this.#options.onOutcome?.(outcome, performance.now() - startedAt);
    }
  }

  /** Never throws: a worker that ends would leave its share of the work undone for ever. */
  async #runOnce(key: string): Promise<ReconcileOutcome> {
    const { queue, name } = this.#options;
    this.#runs += 1;
    const logger = this.#logger.child({ key, reconcileId: `${name}-${this.#runs}` });
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(this.#timeoutMs)]);
    try {
      const { requeueAfterMs } = await this.#options.reconcile(key, { signal, logger });
      queue.forget(key);
      if (requeueAfterMs === undefined) return 'done';
      queue.addAfter(key, requeueAfterMs);
      return 'requeued';
    } catch (error) {
      if (error instanceof TerminalError) {
        queue.forget(key);
        logger.error({ err: error }, 'Reconcile failed for good');
        return 'terminal';
      }
      const retryInMs = queue.addRateLimited(key);
      if (!this.#stopping.signal.aborted) logger.warn({ err: error, retryInMs }, 'Reconcile failed');
      return 'failed';
    }
  }
}
