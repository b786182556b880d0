import { RateLimiter, type RateLimiterOptions } from './rate-limiter.ts';

/** For metrics; called at each change. */
export interface WorkQueueObserver {
  depth?(depth: number): void;
  added?(): void;
  retried?(): void;
}

export interface WorkQueueOptions {
  rateLimit?: RateLimiterOptions;
  observer?: WorkQueueObserver;
}

interface Delayed {
  dueAt: number;
  timer: NodeJS.Timeout;
}

/** setTimeout's longest wait; a longer one would fire at once. */
const MAX_TIMER_MS = 2_147_483_647;

/**
 * Keys that want work. A key waits once however often it is added, is never handed out twice at the same time, and comes
 * again after `done` when it was added meanwhile.
 */
export class WorkQueue {
  readonly #limiter: RateLimiter;
  readonly #observer: WorkQueueObserver;
  /** Ready keys in order; a Set, as a key waits once. */
  readonly #ready = new Set<string>();
  readonly #processing = new Set<string>();
  /** Added while they were processed. */
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  readonly #idle: (() => void)[] = [];
  #isShutDown = false;

  constructor(options: WorkQueueOptions = {}) {
    this.#limiter = new RateLimiter(options.rateLimit);
    this.#observer = options.observer ?? {};
  }

  /** Keys that wait and are due. */
  get depth(): number {
    return this.#ready.size;
  }

  get processing(): number {
    return this.#processing.size;
  }

  get isShutDown(): boolean {
    return this.#isShutDown;
  }

  add(key: string): void {
    if (this.#isShutDown || this.#ready.has(key) || this.#again.has(key)) return;
    this.#observer.added?.();
    if (this.#processing.has(key)) {
      this.#again.add(key);
      return;
    }
    this.#offer(key);
  }

  /** The earliest of several waits of a key counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isShutDown) return;
    if (!(delayMs > 0)) {
      this.add(key);
      return;
    }
    const dueAt = performance.now() + delayMs;
    const earlier = this.#delayed.get(key);
    if (earlier !== undefined && earlier.dueAt <= dueAt) return;
    clearTimeout(earlier?.timer);
    const timer = setTimeout(
      () => {
        this.#delayed.delete(key);
        this.add(key);
      },
      Math.min(delayMs, MAX_TIMER_MS),
    );
    this.#delayed.set(key, { dueAt, timer });
  }

  /** After a failure: waits longer each time until `forget`. @returns The wait in milliseconds. */
  addRateLimited(key: string): number {
    if (this.#isShutDown) return 0;
    const delayMs = this.#limiter.next(key);
    this.#observer.retried?.();
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /** The key did well (or is hopeless): its next failure waits shortly again. */
  forget(key: string): void {
    this.#limiter.forget(key);
  }

  /** Failures of the key since the last `forget`. */
  failures(key: string): number {
    return this.#limiter.failures(key);
  }

  /** The next key, to be followed by `done`; undefined once the queue is shut down and nothing is left to do. */
  get(): Promise<string | undefined> {
    const next = this.#ready.values().next();
    if (next.done !== true) {
      this.#ready.delete(next.value);
      this.#processing.add(next.value);
      this.#observer.depth?.(this.#ready.size);
      return Promise.resolve(next.value);
    }
    if (this.#isShutDown && this.#again.size === 0) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  done(key: string): void {
    this.#processing.delete(key);
    if (this.#again.delete(key)) this.#offer(key);
    this.#settle();
  }

  /**
   * Takes nothing more, forgets what waits for its time, and resolves when all that was handed out is done.
   *
   * @param options.drain - Hands out what is ready first. Defaults to false: work is level-based, and whoever comes next
   *   finds it again.
   */
  async shutDown(options: { drain?: boolean } = {}): Promise<void> {
    this.#isShutDown = true;
    for (const { timer } of this.#delayed.values()) clearTimeout(timer);
    this.#delayed.clear();
    if (options.drain !== true) {
      this.#ready.clear();
      this.#again.clear();
      this.#observer.depth?.(0);
    }
    this.#settle();
    if (this.#isBusy()) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #offer(key: string): void {
    const taker = this.#takers.shift();
    if (taker === undefined) {
      this.#ready.add(key);
      this.#observer.depth?.(this.#ready.size);
      return;
    }
    this.#processing.add(key);
    taker(key);
  }

  #isBusy(): boolean {
    return this.#ready.size + this.#processing.size + this.#again.size > 0;
  }

  #settle(): void {
    if (!this.#isShutDown || this.#ready.size + this.#again.size > 0) return;
    for (const taker of this.#takers.splice(0)) taker(undefined);
    if (this.#processing.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}
