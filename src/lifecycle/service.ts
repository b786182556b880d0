import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../core/logger.ts';

/** A service that fails and is woken all the time must not spin. */
const FAILURE_PAUSE_MS = 250;

export interface PeriodicServiceOptions<Counts extends object> {
  /** kebab-case, for logs and metrics. */
  name: string;
  /** One round. It may run again after it failed half-way, so it has to be idempotent. Answers what it did, for the log. */
  runOnce(signal: AbortSignal): Promise<Counts>;
  /** Pause between the end of a round and the next. */
  intervalMs: number;
  /** The shortest pause, also after `wake()`, so that a flood of wakes shares rounds; at least 250 ms after a failure. Defaults to 0. */
  minPauseMs?: number;
  /** Random part of the pause, as a fraction of it, so that replicas spread out. Defaults to 0.1. */
  jitter?: number;
  logger: Logger;
  /** Called after each round, for metrics. */
  onRound?(round: { failed: boolean; durationMs: number }): void;
}

/**
 * A background service: rounds of `runOnce`, an interval apart, sooner after `wake()`; a round that fails is counted
 * and logged, and the next one comes all the same.
 */
export class PeriodicService<Counts extends object = object> {
  readonly #options: Required<Omit<PeriodicServiceOptions<Counts>, 'onRound'>> &
    Pick<PeriodicServiceOptions<Counts>, 'onRound'>;
  #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  #woken = false;
  #endPause: (() => void) | undefined;
  #rounds = 0;
  #failures = 0;

  constructor(options: PeriodicServiceOptions<Counts>) {
    const jitter = options.jitter ?? 0.1;
    if (!(options.intervalMs > 0)) throw new RangeError('intervalMs must be above 0');
    if (!(jitter >= 0 && jitter <= 1)) throw new RangeError('jitter must be between 0 and 1');
    this.#options = { minPauseMs: 0, ...options, jitter };
  }

  get rounds(): number {
    return this.#rounds;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Begins with a round at once. Does nothing when it is running. */
  start(): void {
    if (this.#loop !== undefined) return;
    this.#stopping = new AbortController();
    this.#loop = this.#run(this.#stopping.signal);
  }

  /** Runs the next round now; a call during a round makes one more follow, however many calls there were. */
  wake(): void {
    this.#woken = true;
    this.#endPause?.();
  }

  /** Aborts the round under way and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error(`${this.#options.name} is stopping`));
    this.#endPause?.();
    await this.#loop;
    this.#loop = undefined;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#woken = false;
      const failed = await this.#round(signal);
      const shortest = failed
        ? Math.max(FAILURE_PAUSE_MS, this.#options.minPauseMs)
        : this.#options.minPauseMs;
      if (shortest > 0) await sleep(shortest, undefined, { signal }).catch(() => {});
      await this.#pause(signal);
    }
  }

  async #round(signal: AbortSignal): Promise<boolean> {
    const { name, runOnce, logger, onRound } = this.#options;
    const startedAt = performance.now();
    let failed = false;
    try {
      const counts = await runOnce(signal);
      logger.debug({ service: name, ...counts }, 'Service round ended');
    } catch (err) {
      failed = !signal.aborted;
      if (failed) logger.error({ err, service: name, failures: this.#failures + 1 }, 'Service round failed');
    }
    this.#rounds += 1;
    if (failed) this.#failures += 1;
    onRound?.({ failed, durationMs: performance.now() - startedAt });
    return failed;
  }

  #pause(signal: AbortSignal): Promise<void> {
    if (this.#woken || signal.aborted) return Promise.resolve();
    const { intervalMs, jitter } = this.#options;
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#endPause = undefined;
        resolve();
      };
      const timer = setTimeout(end, intervalMs * (1 + jitter * (Math.random() * 2 - 1)));
      this.#endPause = end;
    });
  }
}
