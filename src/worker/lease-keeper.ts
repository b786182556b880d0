import { LeaseLostError } from '../core/errors.ts';
import type { JobProgress } from '../core/job.ts';
import type { Logger } from '../core/logger.ts';
import type { RenewalVerdict, WorkerLedger } from '../ledger/worker-ledger.ts';

/** Why a running handler is told to stop. */
export type StopReason = 'cancelled' | 'lost' | 'deadline' | 'shutdown';

/** The reason of a handler's AbortSignal. */
export class JobStopped extends Error {
  override name = 'AbortError';
  readonly reason: StopReason;

  constructor(reason: StopReason) {
    super(`The job was stopped: ${reason}`);
    this.reason = reason;
  }
}

interface Held {
  lease: number;
  controller: AbortController;
  progress: JobProgress | undefined;
  /** Our monotonic clock at the moment before the last renewal that succeeded was sent. */
  renewedAtMs: number;
}

export interface LeaseKeeperOptions {
  ledger: WorkerLedger;
  logger: Logger;
  leaseMs: number;
  renewMs: number;
  session: { types: readonly string[]; concurrency: number };
  /** Called after each renewal that was answered. */
  onRenewal?(): void;
}

/** How long progress waits for company before it is sent. */
const PROGRESS_DELAY_MS = 1_000;

/**
 * Keeps the leases of all running jobs, in one statement each renewal; tells handlers of cancellations and of leases that
 * were lost. Also keeps the worker's session fresh, with or without jobs.
 */
export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #held = new Map<string, Held>();
  #timer: NodeJS.Timeout | undefined;
  #progressTimer: NodeJS.Timeout | undefined;
  #renewal: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  /** Opens the session; rejects when the ledger refuses it. */
  async start(): Promise<void> {
    await this.#options.ledger.renew([], this.#options.session);
    this.#schedule(this.#options.renewMs);
  }

  /** Stops renewing: what is held by now has to be committed or handed back. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#progressTimer);
    await this.#renewal;
  }

  get size(): number {
    return this.#held.size;
  }

  has(id: string): boolean {
    return this.#held.has(id);
  }

  /** Keeps a lease from now on. @param claimedAtMs - `performance.now()` before the claim was sent. */
  hold(id: string, lease: number, claimedAtMs: number): AbortSignal {
    const controller = new AbortController();
    this.#held.set(id, { lease, controller, progress: undefined, renewedAtMs: claimedAtMs });
    return controller.signal;
  }

  release(id: string): void {
    this.#held.delete(id);
  }

  stopJob(id: string, reason: StopReason): void {
    const held = this.#held.get(id);
    if (held !== undefined) this.#stopHeld(held, reason);
  }

  stopAll(reason: StopReason): void {
    for (const id of this.#held.keys()) this.stopJob(id, reason);
  }

  /** Hands progress in with a renewal, at most once a second. */
  report(id: string, progress: JobProgress): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    held.progress = progress;
    if (this.#stopped) return;
    this.#progressTimer ??= setTimeout(() => {
      this.#progressTimer = undefined;
      void this.#renewNow();
    }, PROGRESS_DELAY_MS);
  }

  /** Rejects when the lease has been lost by our own clock, so that nothing more is done under it. */
  assertHeld(id: string): void {
    const held = this.#held.get(id);
    if (held === undefined || performance.now() - held.renewedAtMs > this.#options.leaseMs)
      throw new LeaseLostError(id);
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      void this.#renewNow().then((renewed) => {
        // A failed renewal is tried again soon: there are two thirds of a lease left.
        this.#schedule(renewed ? this.#options.renewMs : Math.min(1_000, this.#options.renewMs));
      });
    }, delayMs);
  }

  #renewNow(): Promise<boolean> {
    const run = this.#renewal.then(() => this.#renew());
    this.#renewal = run.then(() => {});
    return run;
  }

  async #renew(): Promise<boolean> {
    const sentAtMs = performance.now();
    const sent = [...this.#held].map(([id, held]) => ({ id, held, progress: held.progress }));
    try {
      const verdicts = await this.#options.ledger.renew(
        sent.map(({ id, held, progress }) => ({
          id,
          lease: held.lease,
          ...(progress === undefined ? {} : { progress }),
        })),
        this.#options.session,
      );
      for (const { id, held, progress } of sent) {
        if (held.progress === progress) held.progress = undefined;
        this.#apply(id, held, verdicts.get(id), sentAtMs);
      }
      this.#options.onRenewal?.();
      return true;
    } catch (error) {
      this.#options.logger.warn({ err: error, leases: sent.length }, 'Failed to renew leases');
      const nowMs = performance.now();
      for (const { held } of sent) {
        if (nowMs - held.renewedAtMs > this.#options.leaseMs) this.#stopHeld(held, 'lost');
      }
      return false;
    }
  }

  /** A lease that was committed meanwhile is "lost" too: nobody listens to its signal any more. */
  #apply(id: string, held: Held, verdict: RenewalVerdict | undefined, sentAtMs: number): void {
    if (this.#held.get(id) !== held) return;
    if (verdict === 'lost') this.#stopHeld(held, 'lost');
    else held.renewedAtMs = sentAtMs;
    if (verdict === 'cancel') this.#stopHeld(held, 'cancelled');
  }

  #stopHeld(held: Held, reason: StopReason): void {
    if (!held.controller.signal.aborted) held.controller.abort(new JobStopped(reason));
  }
}
