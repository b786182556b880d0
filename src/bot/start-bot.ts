import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import { RateReader } from '../core/rates/rate-reader.ts';
import { countWaiting, forgetMessages } from '../ledger/bot-messages.ts';
import { connectDatabase, type Database, isUnavailable } from '../ledger/database.ts';
import { LedgerListener } from '../ledger/listener.ts';
import { waitForSchema } from '../ledger/migrate.ts';
import { createRateSource } from '../ledger/rates.ts';
import { countSubscriptions } from '../ledger/subscriptions.ts';
import { PeriodicService } from '../lifecycle/service.ts';
import { Alerts } from './alerts.ts';
import { COMMANDS, Conversation } from './conversation.ts';
import { FloodLimit } from './flood.ts';
import { addHandlers } from './handlers.ts';
import type { BotMetrics } from './metrics.ts';
import { Outbox } from './outbox.ts';
import { Polling } from './polling.ts';
import {
  ALLOWED_UPDATES,
  type Bot,
  callSignal,
  createClient,
  readFailure,
  type Update,
  untilTaken,
} from './telegram.ts';
import { WebhookServer } from './webhook-server.ts';

export interface BotOptions {
  postgresUrl: string;
  token: string;
  apiUrl: string;
  namespace: string;
  /** Null: long polling. */
  webhook: { url: string; secret: string; host: string; port: number } | null;
  perMinute: number;
  maxSubscriptions: number;
  logger: Logger;
  metrics: BotMetrics;
  clock: Clock;
  /** Ends the waiting for PostgreSQL and Telegram. */
  signal: AbortSignal;
}

export interface RunningBot {
  /** Port of the webhook; null when it polls. */
  port: number | null;
  db: Database;
  /** Rejects with what is wrong between Telegram and us. */
  checkTelegram(): Promise<void>;
  /** No more updates; what is being sent is ended, what waits stays for the next process. */
  stop(): Promise<void>;
}

const MAX_CONNECTIONS = 5;

/** Starts the bot: waits for the ledger and for Telegram, then takes updates and sends what waits. */
export async function startBot(options: BotOptions): Promise<RunningBot> {
  const { logger, namespace, clock, metrics, signal } = options;
  const db = connectDatabase({
    url: options.postgresUrl,
    applicationName: 'longshore-bot',
    maxConnections: MAX_CONNECTIONS,
    logger,
  });
  const bot = createClient(options.token, options.apiUrl);
  try {
    await waitForSchema(db, logger, signal);
    await greet(bot, logger, signal);
  } catch (error) {
    await db.end();
    throw error;
  }
  const { rates, listener } = readRates(options, db);
  const outbox = new Outbox({ db, api: bot.api, namespace, clock, logger, onMessage: metrics.onMessage });
  const service = (name: string, intervalMs: number, runOnce: (signal: AbortSignal) => Promise<object>) =>
    new PeriodicService({
      name,
      intervalMs,
      runOnce,
      logger,
      onRound: (round) => metrics.onRound(name, round),
    });
  const sending = service('outbox', 1_000, (stopping) => outbox.runOnce(stopping));
  const onQueued = () => sending.wake();
  const alerts = new Alerts({ db, rates, namespace, clock, onQueued });
  const judging = service('alerts', 1_000, (stopping) => alerts.runOnce(stopping));
  const figures = service('bot-figures', 10_000, () => showFigures(options, db));
  const conversation = new Conversation({ ...options, db, rates });
  const flood = new FloodLimit(options.perMinute, clock);
  addHandlers(bot, { db, namespace, conversation, flood, logger, onQueued, onUpdate: metrics.onUpdate });
  listener.on('rates', (changed) => {
    if (changed === namespace) judging.wake();
  });
  for (const started of [sending, judging, figures]) started.start();
  const intake = await startIntake(options, bot);
  logger.info({ namespace, webhook: options.webhook !== null, bot: bot.botInfo.username }, 'Bot started');
  return {
    port: intake.port,
    db,
    checkTelegram: intake.check,
    async stop() {
      await intake.stop();
      await Promise.all([judging, figures, sending].map((running) => running.stop()));
      rates.stop();
      await listener.stop();
      await db.end();
    },
  };
}

/** Who we are, however long Telegram takes to say it; then the menu of commands, if it can be had. */
async function greet(bot: Bot, logger: Logger, signal: AbortSignal): Promise<void> {
  bot.botInfo = await untilTaken((ending) => bot.api.getMe(ending), { logger, signal });
  await bot.api
    .setMyCommands(COMMANDS, {}, callSignal(signal))
    .catch((error: unknown) => logger.warn({ reason: readFailure(error).reason }, 'Failed to set the menu'));
}

function readRates({ postgresUrl, logger, clock }: BotOptions, db: Database) {
  const rates = new RateReader({ source: createRateSource(db), copies: null, logger, clock });
  const listener = new LedgerListener({ url: postgresUrl, logger });
  listener.on('rates', (namespace, version) => rates.onChange(namespace, version));
  listener.on('connected', () => rates.check());
  listener.start();
  return { rates, listener };
}

async function showFigures({ namespace, metrics }: BotOptions, db: Database): Promise<object> {
  metrics.setSubscriptions(await countSubscriptions(db, namespace));
  const waiting = await countWaiting(db, namespace);
  metrics.setWaiting(waiting);
  return { ...waiting, forgotten: await forgetMessages(db, namespace) };
}

interface Intake {
  port: number | null;
  check(): Promise<void>;
  stop(): Promise<void>;
}

function startIntake(options: BotOptions, bot: Bot): Promise<Intake> {
  const { webhook, logger, metrics } = options;
  const handle = async (update: Update) => {
    try {
      await bot.handleUpdate(update);
    } catch (error) {
      const cause = error instanceof Error ? (error as { error?: unknown }).error : error;
      metrics.onUpdate('failed');
      // Comes again when the ledger is back. What fails for another reason would fail again.
      if (isUnavailable(cause)) throw cause;
      const reason = cause instanceof Error ? cause.message : 'unknown';
      logger.error({ update: update.update_id, reason }, 'Failed to handle an update');
    }
  };
  return webhook === null
    ? Promise.resolve(startPolling({ bot, logger, handle }))
    : startWebhook({ ...webhook, bot, logger, handle, signal: options.signal });
}

interface IntakeOptions {
  bot: Bot;
  logger: Logger;
  handle(update: Update): Promise<void>;
}

function startPolling(options: IntakeOptions): Intake {
  const abort = new AbortController();
  let problem: string | null = null;
  const onPoll = (now: string | null) => {
    problem = now;
  };
  const polling = new Polling({ ...options, onPoll }).run(abort.signal);
  return {
    port: null,
    async check() {
      if (problem !== null) throw new Error(problem);
    },
    async stop() {
      abort.abort();
      await polling;
    },
  };
}

/** The webhook stays when the process ends: another replica, or the next process, is reached by it. */
async function startWebhook(
  options: IntakeOptions & NonNullable<BotOptions['webhook']> & { signal: AbortSignal },
): Promise<Intake> {
  const { bot, url, secret, signal, logger } = options;
  const server = new WebhookServer({ ...options, path: new URL(url).pathname });
  const port = await server.start();
  await untilTaken(
    (ending) => bot.api.setWebhook(url, { secret_token: secret, allowed_updates: ALLOWED_UPDATES }, ending),
    { logger, signal },
  );
  return { port, check: async () => {}, stop: () => server.stop() };
}
