import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../core/logger.ts';
import { ALLOWED_UPDATES, type Bot, callSignal, readFailure, toSignal, type Update } from './telegram.ts';

export interface PollingOptions {
  bot: Bot;
  logger: Logger;
  /** Handles an update; rejects only when it has to come again. */
  handle(update: Update): Promise<void>;
  /** Told how each call went: null is well. */
  onPoll(problem: string | null): void;
}

/** How long Telegram keeps a poll open when there is nothing. */
const POLL_SECONDS = 25;
const PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

/**
 * Long polling. An update is confirmed, by asking for those after it, once it was handled: what was under way when a process died
 * comes again, and while the ledger is away updates wait at Telegram. One process at a time: a second one is told 409, and waits.
 */
export class Polling {
  readonly #options: PollingOptions;
  #offset = 0;
  #failures = 0;
  #hasNoWebhook = false;

  constructor(options: PollingOptions) {
    this.#options = options;
  }

  /** Resolves some time after the signal aborted: then the last update is handled and confirmed. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#poll(signal);
        this.#failures = 0;
      } catch (error) {
        if (!signal.aborted) await this.#pause(error, signal);
      }
    }
    await this.#confirm();
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { bot, handle, onPoll } = this.#options;
    if (!this.#hasNoWebhook) await bot.api.deleteWebhook({}, callSignal(signal));
    this.#hasNoWebhook = true;
    const updates = await bot.api.getUpdates(
      { offset: this.#offset, timeout: POLL_SECONDS, allowed_updates: ALLOWED_UPDATES },
      toSignal(signal),
    );
    onPoll(null);
    for (const update of updates) {
      if (signal.aborted) break;
      await handle(update);
      this.#offset = update.update_id + 1;
    }
  }

  async #pause(error: unknown, signal: AbortSignal): Promise<void> {
    const { logger, onPoll } = this.#options;
    const failure = readFailure(error);
    if (failure.kind === 'conflict') this.#hasNoWebhook = false;
    const retryInMs =
      failure.kind === 'limited'
        ? failure.retryAfterMs
        : Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    onPoll(failure.reason);
    logger.warn({ reason: failure.reason, retryInMs }, 'Failed to take updates');
    await sleep(retryInMs, undefined, { signal }).catch(() => {});
  }

  /** Tells Telegram what was handled; without it that comes again, which changes nothing. */
  async #confirm(): Promise<void> {
    if (this.#offset === 0) return;
    const { bot, logger } = this.#options;
    await bot.api
      .getUpdates({ offset: this.#offset, limit: 1, timeout: 0 }, callSignal())
      .catch((error: unknown) =>
        logger.debug({ reason: readFailure(error).reason }, 'Failed to confirm the last updates'),
      );
  }
}
