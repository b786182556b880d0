import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { backoffMs } from '../core/backoff.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import { type ClaimedMessage, claimMessages, endMessage, putOffMessage } from '../ledger/bot-messages.ts';
import type { Database } from '../ledger/database.ts';
import { endChat, moveChat } from '../ledger/subscriptions.ts';
import { type Api, type CallFailure, callSignal, readFailure, toOptions } from './telegram.ts';
import { alertReply, type Reply, reportReply } from './wording.ts';

export const MESSAGE_OUTCOMES = ['sent', 'limited', 'gone', 'refused', 'failed', 'expired'] as const;
export type MessageOutcome = (typeof MESSAGE_OUTCOMES)[number];

export interface OutboxOptions {
  db: Database;
  api: Api;
  namespace: string;
  clock: Clock;
  logger: Logger;
  /** Told of each try, for metrics. */
  onMessage(outcome: MessageOutcome): void;
}

/** Telegram takes about 30 messages a second of a bot. */
const PER_SECOND = 25;
/** Three calls' time: whoever claimed is dead by then. */
const LEASE_SECONDS = 30;
const BACKOFF = { baseMs: 1_000, maxMs: 300_000 };
/** What could not be said for a day is not said any more. */
const EXPIRES_MS = 86_400_000;
/** So many chats that are limited at once: the limit is not theirs, it is the bot's. */
const CHATS_OF_A_GENERAL_LIMIT = 3;

const price = z.object({
  base: z.string(),
  quote: z.string(),
  price: z.string(),
  atMs: z.number(),
  freshUntilMs: z.number(),
  exact: z.boolean(),
});
const button = z.object({ text: z.string(), data: z.string() });
const messageContent = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('answer'),
    reply: z.object({ text: z.string(), buttons: z.array(z.array(button)).exactOptional() }),
  }),
  z.object({
    kind: z.literal('alert'),
    subscription: z.number(),
    direction: z.enum(['above', 'below']),
    threshold: z.string(),
    rate: price,
  }),
  z.object({
    kind: z.literal('report'),
    subscription: z.number(),
    base: z.string(),
    quote: z.string(),
    rate: price.nullable(),
  }),
]);

/**
 * Sends what waits, at least once: a message is ended after Telegram took it. One whose answer was lost, or whose process died
 * between the two, is sent again.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  /** Chats that may not be written to, and until when. */
  readonly #limited = new Map<number, number>();
  #pausedUntilMs = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Sends until nothing is due. What is under way when the signal aborts is still ended or put off. */
  async runOnce(signal: AbortSignal): Promise<{ sent: number; failed: number }> {
    const { db, namespace, clock } = this.#options;
    const counts = { sent: 0, failed: 0 };
    while (!signal.aborted && clock.now() >= this.#pausedUntilMs) {
      const startedAt = performance.now();
      const claimed = await claimMessages(db, { namespace, limit: PER_SECOND, leaseSeconds: LEASE_SECONDS });
      if (claimed.length === 0) break;
      const sent = await Promise.all(claimed.map((message) => this.#send(message)));
      counts.sent += sent.filter(Boolean).length;
      counts.failed += sent.filter((ok) => !ok).length;
      const restMs = (claimed.length / PER_SECOND) * 1_000 - (performance.now() - startedAt);
      if (restMs > 0) await sleep(restMs, undefined, { signal }).catch(() => {});
    }
    return counts;
  }

  async #send(message: ClaimedMessage): Promise<boolean> {
    const { db, api, clock, onMessage, logger } = this.#options;
    const reply = this.#render(message);
    if (reply === null || clock.now() - message.createdAtMs > EXPIRES_MS) {
      await endMessage(db, message.id, reply === null ? 'Unreadable' : 'Expired');
      onMessage(reply === null ? 'refused' : 'expired');
      return false;
    }
    try {
      await api.sendMessage(message.chatId, reply.text, toOptions(reply), callSignal());
    } catch (error) {
      const failure = readFailure(error);
      logger.debug({ message: message.id, failure: failure.kind, reason: failure.reason }, 'Failed to send');
      await this.#onFailure(message, failure);
      return false;
    }
    onMessage('sent');
    await endMessage(db, message.id, null);
    return true;
  }

  #render({ content }: ClaimedMessage): Reply | null {
    const parsed = messageContent.safeParse(content);
    if (!parsed.success) return null;
    const nowMs = this.#options.clock.now();
    switch (parsed.data.kind) {
      case 'answer':
        return parsed.data.reply;
      case 'alert':
        return alertReply(parsed.data, nowMs);
      case 'report':
        return reportReply(parsed.data, nowMs);
      default:
        return parsed.data satisfies never;
    }
  }

  async #onFailure({ id, chatId, attempts }: ClaimedMessage, failure: CallFailure): Promise<void> {
    const { db, namespace, logger, onMessage } = this.#options;
    switch (failure.kind) {
      case 'limited':
        onMessage('limited');
        this.#limit(chatId, failure.retryAfterMs);
        return putOffMessage(db, id, failure.retryAfterMs);
      case 'gone':
        onMessage('gone');
        logger.info({ reason: failure.reason }, 'Ended the subscriptions of a chat that is gone');
        return endChat(db, namespace, chatId, failure.reason);
      case 'moved':
        onMessage('failed');
        return moveChat(db, namespace, chatId, failure.chatId);
      case 'refused':
        onMessage('refused');
        logger.warn({ message: id, reason: failure.reason }, 'Telegram refused a message');
        return endMessage(db, id, failure.reason);
      case 'unauthorized':
      case 'conflict':
      case 'unavailable':
        onMessage('failed');
        return putOffMessage(db, id, backoffMs(BACKOFF, attempts, Math.random()));
      default:
        return failure satisfies never;
    }
  }

  /** One chat's limit is its own; several at once are the bot's, and everybody waits. */
  #limit(chatId: number, retryAfterMs: number): void {
    const nowMs = this.#options.clock.now();
    for (const [chat, untilMs] of this.#limited) if (untilMs <= nowMs) this.#limited.delete(chat);
    this.#limited.set(chatId, nowMs + retryAfterMs);
    if (this.#limited.size < CHATS_OF_A_GENERAL_LIMIT) return;
    this.#pausedUntilMs = Math.max(...this.#limited.values());
    this.#options.logger.warn({ pausedMs: this.#pausedUntilMs - nowMs }, 'Telegram limited the bot');
  }
}
