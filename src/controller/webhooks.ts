import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../core/backoff.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import { signWebhook } from '../core/webhook-signature.ts';
import type { WebhookPolicy } from '../core/webhook-url.ts';
import type { Database } from '../ledger/database.ts';
import {
  claimWebhooks,
  type DueWebhook,
  markDelivered,
  markFailed,
  releaseWebhook,
} from '../ledger/webhooks.ts';
import { type Resolve, WebhookFailure, WebhookSender } from './webhook-sender.ts';

export interface WebhookSettings {
  /** The keys of the signature: one, or during an exchange the new and the old one. */
  secrets: readonly string[];
  policy: WebhookPolicy;
  /** Deliveries at once. Defaults to 256. */
  concurrency?: number;
  /** … to one target, so that targets that do not answer hold nobody else up. Defaults to 2. */
  perTarget?: number;
  /** Defaults to 15 s. */
  deadlineMs?: number;
  resolve?: Resolve;
}

export interface WebhookCounts {
  delivered: number;
  failed: number;
  gaveUp: number;
}

/** Between tries: 5 s, 10 s, … up to an hour. */
const BACKOFF = { baseMs: 5_000, maxMs: 3_600_000 };
/** While deliveries are under way, others that become due are looked for this often. */
const LOOK_MS = 250;

/** Delivers the webhooks of finished jobs: at least once, under an id that stays the same. */
export class WebhookDelivery {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #settings: Required<Omit<WebhookSettings, 'resolve'>>;
  readonly #sender: WebhookSender;
  readonly #underWay = new Map<Promise<void>, string>();

  constructor(options: { db: Database; clock: Clock; logger: Logger; settings: WebhookSettings }) {
    const { resolve, ...settings } = options.settings;
    this.#db = options.db;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#settings = { concurrency: 256, perTarget: 2, deadlineMs: 15_000, ...settings };
    this.#sender = new WebhookSender({
      policy: settings.policy,
      perTarget: this.#settings.perTarget,
      deadlineMs: this.#settings.deadlineMs,
      ...(resolve === undefined ? {} : { resolve }),
    });
  }

  /** Delivers until nothing is due and nothing under way; when the signal aborts, what is under way is given back. */
  async runOnce(signal: AbortSignal): Promise<WebhookCounts> {
    const counts: WebhookCounts = { delivered: 0, failed: 0, gaveUp: 0 };
    try {
      while (!signal.aborted) {
        const room = this.#settings.concurrency - this.#underWay.size;
        const claimed = room > 0 ? await this.#claim(room) : [];
        for (const webhook of claimed) this.#start(webhook, counts, signal);
        if (this.#underWay.size === 0) break;
        await this.#waitForChange(claimed.length > 0, signal);
      }
    } finally {
      await Promise.all(this.#underWay.keys());
    }
    return counts;
  }

  async close(): Promise<void> {
    await this.#sender.close();
  }

  #claim(limit: number): Promise<DueWebhook[]> {
    const { perTarget, deadlineMs } = this.#settings;
    const byTarget = Map.groupBy(this.#underWay.values(), (target) => target);
    return claimWebhooks(this.#db, {
      limit,
      perTarget,
      busy: new Map([...byTarget].map(([target, deliveries]) => [target, deliveries.length])),
      leaseSeconds: (deadlineMs / 1_000) * 2 + 30,
    });
  }

  /** Until a delivery ends; with nothing found last time also no sooner than the next look. */
  async #waitForChange(foundSome: boolean, signal: AbortSignal): Promise<void> {
    const pause = sleep(LOOK_MS, undefined, { signal }).catch(() => {});
    await (foundSome ? Promise.race([pause, ...this.#underWay.keys()]) : pause);
  }

  #start(webhook: DueWebhook, counts: WebhookCounts, signal: AbortSignal): void {
    const delivery = this.#deliver(webhook, counts, signal)
      // What the ledger does not hear of comes again when the claim runs out.
      .catch((err) => this.#logger.warn({ err, webhook: webhook.id }, 'Failed to note how a webhook ended'))
      .finally(() => this.#underWay.delete(delivery));
    this.#underWay.set(delivery, webhook.target);
  }

  async #deliver(webhook: DueWebhook, counts: WebhookCounts, signal: AbortSignal): Promise<void> {
    try {
      await this.#send(webhook, signal);
      await markDelivered(this.#db, webhook);
      counts.delivered += 1;
    } catch (error) {
      if (!(error instanceof WebhookFailure)) throw error;
      if (signal.aborted) return releaseWebhook(this.#db, webhook);
      await this.#fail(webhook, error, counts);
    }
  }

  async #send(webhook: DueWebhook, signal: AbortSignal): Promise<void> {
    const { secrets } = this.#settings;
    if (webhook.job === null)
      throw new WebhookFailure('JobGone: the job was removed from the ledger', { final: true });
    if (secrets.length === 0)
      throw new WebhookFailure('NoSecret: LONGSHORE_WEBHOOK_SECRET is not set, so nothing can be signed');
    const id = `${webhook.job.id}-${webhook.job.version}`;
    const body = JSON.stringify(toPayload(id, webhook.job));
    const unixSeconds = Math.floor(this.#clock.now() / 1_000);
    const headers = {
      'content-type': 'application/json',
      'user-agent': 'longshore-webhook/1',
      'longshore-webhook-id': id,
      'longshore-signature': signWebhook(secrets, { id, unixSeconds, body }),
    };
    await this.#sender.send(webhook.url, headers, body, signal);
  }

  async #fail(webhook: DueWebhook, failure: WebhookFailure, counts: WebhookCounts): Promise<void> {
    const gaveUp = await markFailed(this.#db, webhook, {
      reason: failure.message,
      delayMs: backoffMs(BACKOFF, webhook.attempts, Math.random()),
      final: failure.final,
    });
    counts[gaveUp ? 'gaveUp' : 'failed'] += 1;
    const fields = { webhook: webhook.id, job_id: webhook.job?.id, reason: failure.message };
    if (gaveUp) this.#logger.warn({ ...fields, attempts: webhook.attempts }, 'Gave a webhook up');
    else this.#logger.debug(fields, 'Failed to deliver a webhook');
  }
}

/** What a target is told: which job, how it ended and where to read more. Never its input. */
function toPayload(id: string, job: NonNullable<DueWebhook['job']>): Record<string, unknown> {
  const self = `/v1/jobs/${job.id}`;
  return {
    id,
    job: {
      id: job.id,
      namespace: job.namespace,
      type: job.type,
      labels: job.labels,
      status: job.status,
      error: job.error,
      acceptedAt: new Date(job.acceptedAtMs).toISOString(),
      finishedAt: new Date(job.finishedAtMs).toISOString(),
      version: job.version,
      links: { self, result: job.status === 'SUCCESS' ? `${self}/result` : null },
    },
  };
}
