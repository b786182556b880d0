import type { JobEvent } from '../core/job.ts';
import type { Logger } from '../core/logger.ts';
import type { EventCursor } from '../ledger/events.ts';

export interface EventHubOptions {
  /** New events of jobs, each job's in order. */
  list(cursors: readonly EventCursor[]): Promise<JobEvent[]>;
  logger: Logger;
  /** How often the ledger is asked when no notification comes. Defaults to 1 s. */
  pollMs?: number;
}

export interface Subscription {
  readonly jobId: string;
  close(): void;
}

interface Subscriber {
  jobId: string;
  afterSeq: number;
  onEvents(events: JobEvent[]): void;
}

/**
 * The one reader of events in a process, for all event streams: level-based, so a lost notification costs a second and
 * nothing else. Every subscriber keeps its own place.
 */
export class EventHub {
  readonly #options: Required<EventHubOptions>;
  readonly #subscribers = new Map<string, Set<Subscriber>>();
  readonly #dirty = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #stopped = false;

  constructor(options: EventHubOptions) {
    this.#options = { pollMs: 1_000, ...options };
  }

  /** Calls `onEvents` with every event of the job after `afterSeq`, in order, until closed. */
  subscribe(jobId: string, afterSeq: number, onEvents: (events: JobEvent[]) => void): Subscription {
    const subscriber = { jobId, afterSeq, onEvents };
    const others = this.#subscribers.get(jobId);
    if (others === undefined) this.#subscribers.set(jobId, new Set([subscriber]));
    else others.add(subscriber);
    this.wake([jobId]);
    this.#timer ??= setInterval(() => this.wake(this.#subscribers.keys()), this.#options.pollMs);
    return { jobId, close: () => this.#remove(subscriber) };
  }

  /** Looks at these jobs now, as far as somebody listens to them. */
  wake(jobIds: Iterable<string>): void {
    for (const id of jobIds) if (this.#subscribers.has(id)) this.#dirty.add(id);
    if (!this.#running && !this.#stopped && this.#dirty.size > 0) void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#subscribers.clear();
  }

  #remove(subscriber: Subscriber): void {
    const others = this.#subscribers.get(subscriber.jobId);
    others?.delete(subscriber);
    if (others?.size === 0) this.#subscribers.delete(subscriber.jobId);
    if (this.#subscribers.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#dirty.size > 0 && !this.#stopped) {
        const ids = [...this.#dirty].slice(0, 500);
        for (const id of ids) this.#dirty.delete(id);
        await this.#deliver(ids);
      }
    } catch (error) {
      // The next poll asks again for everything that somebody listens to.
      this.#options.logger.warn({ err: error }, 'Failed to read events for event streams');
    } finally {
      this.#running = false;
    }
  }

  async #deliver(ids: string[]): Promise<void> {
    const cursors = ids.flatMap((jobId) => {
      const places = [...(this.#subscribers.get(jobId) ?? [])].map((subscriber) => subscriber.afterSeq);
      return places.length === 0 ? [] : [{ jobId, afterSeq: Math.min(...places) }];
    });
    if (cursors.length === 0) return;
    const events = Map.groupBy(await this.#options.list(cursors), (event) => event.jobId);
    for (const [jobId, news] of events) {
      for (const subscriber of this.#subscribers.get(jobId) ?? []) {
        const unseen = news.filter((event) => event.seq > subscriber.afterSeq);
        if (unseen.length === 0) continue;
        subscriber.afterSeq = unseen.at(-1)?.seq ?? subscriber.afterSeq;
        subscriber.onEvents(unseen);
        // There may be more than one answer holds.
        this.#dirty.add(jobId);
      }
    }
  }
}
