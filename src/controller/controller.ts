import { untilAborted } from '../core/abort.ts';
import { uuidv7 } from '../core/ids.ts';
import type { Logger } from '../core/logger.ts';
import { nextDueMs } from '../ledger/admission.ts';
import type { Database } from '../ledger/database.ts';
import type { LedgerListener } from '../ledger/listener.ts';
import { PeriodicService } from '../lifecycle/service.ts';
import type { JobQueue } from '../queue/job-queue.ts';
import { Admission } from './admission.ts';
import type { Dispatcher } from './dispatcher.ts';
import { recover } from './recovery.ts';
import type { Window } from './window-port.ts';

/** The safety net: notifications wake admission long before. */
const ADMISSION_INTERVAL_MS = 1_000;

/** A lone job is admitted at once; of a flood, the jobs of this long share a round. */
const ADMISSION_PAUSE_MS = 40;

export interface ControllerOptions {
  db: Database;
  queue: JobQueue;
  listener: LedgerListener;
  dispatcher: Dispatcher;
  window: Window;
  logger: Logger;
  windowSize?: number;
  leaseSeconds?: number;
  /** Further services of the leader: webhooks, schedules, retention. */
  services?: readonly PeriodicService[];
  onRound?(service: string, round: { failed: boolean; durationMs: number }): void;
}

/** What the leader does: admission, dispatch, recovery, resync; each a level-based service of its own. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #epoch = uuidv7();
  readonly #admission: PeriodicService;
  readonly #services: PeriodicService[];
  #dueTimer: NodeJS.Timeout | undefined;

  constructor(options: ControllerOptions) {
    this.#options = options;
    const { db, dispatcher, window, logger } = options;
    const leaseSeconds = options.leaseSeconds ?? 30;
    const admission = new Admission({
      db,
      window,
      ...(options.windowSize === undefined ? {} : { windowSize: options.windowSize }),
    });
    this.#admission = this.#service(
      'admission',
      ADMISSION_INTERVAL_MS,
      ADMISSION_PAUSE_MS,
      async (signal) => ({
        admitted: await admission.runOnce(signal),
        dispatched: await dispatcher.dispatch(),
        nextDueMs: await this.#wakeWhenDue(),
      }),
    );
    this.#services = [
      this.#admission,
      this.#service('recovery', 1_000, 0, (signal) => recover({ db, leaseSeconds, logger }, signal)),
      this.#service('resync', 5_000, 0, async () => ({ enqueued: await dispatcher.resync() })),
      this.#service('epoch', 500, 0, () => this.#checkEpoch()),
      ...(options.services ?? []),
    ];
  }

  /** Leads until the signal aborts; resolves when everything has stopped. */
  async lead(signal: AbortSignal): Promise<void> {
    const wake = () => this.#admission.wake();
    this.#options.listener.on('work', wake).on('connected', wake);
    for (const service of this.#services) service.start();
    await untilAborted(signal);
    this.#options.listener.off('work', wake).off('connected', wake);
    await Promise.all(this.#services.map((service) => service.stop()));
    clearTimeout(this.#dueTimer);
  }

  /** Back-off and run-at are kept by the ledger: be there when the next of them is over. */
  async #wakeWhenDue(): Promise<number | null> {
    const dueMs = await nextDueMs(this.#options.db);
    clearTimeout(this.#dueTimer);
    if (dueMs !== null && dueMs < ADMISSION_INTERVAL_MS) {
      this.#dueTimer = setTimeout(() => this.#admission.wake(), Math.max(1, dueMs));
    }
    return dueMs;
  }

  /** A Redis without our epoch key has lost everything: enqueue the whole window again, at once. */
  async #checkEpoch(): Promise<{ enqueued: number }> {
    if (await this.#options.queue.keepEpoch(this.#epoch)) return { enqueued: 0 };
    return { enqueued: await this.#options.dispatcher.resync(0) };
  }

  #service(
    name: string,
    intervalMs: number,
    minPauseMs: number,
    runOnce: (signal: AbortSignal) => Promise<object>,
  ): PeriodicService {
    return new PeriodicService({
      name,
      intervalMs,
      minPauseMs,
      runOnce,
      logger: this.#options.logger,
      onRound: (round) => this.#options.onRound?.(name, round),
    });
  }
}
