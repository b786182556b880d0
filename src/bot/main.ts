import { setFlagsFromString } from 'node:v8';
import type { Config } from '../config/config.ts';
import { systemClock } from '../core/clock.ts';
import { startProcess } from '../lifecycle/start-process.ts';
import { startTelemetry } from '../telemetry/process-telemetry.ts';
import { createBotMetrics } from './metrics.ts';
import { startBot } from './start-bot.ts';

/** A send that is under way, and the last confirmation, have 10 s each. */
const STOP_TIMEOUT_MS = 25_000;

/** Runs the Telegram bot until it is told to stop. */
export async function runBot(config: Config): Promise<void> {
  // By default the young generation grows with the machine's memory, to far more than a bot needs: its garbage is short-lived.
  setFlagsFromString('--semi-space-growth-factor=1');
  const telemetry = await startTelemetry('bot', config.log.level);
  const { logger } = telemetry;
  const { shutdown, health } = await startProcess({ name: 'bot', health: config.health, telemetry });
  const { token, apiUrl, namespace, perMinute, maxSubscriptions, webhookUrl, webhookSecret } = config.bot;
  const bot = await startBot({
    postgresUrl: config.postgres.url,
    ...{ token, apiUrl, namespace, perMinute, maxSubscriptions },
    webhook:
      webhookUrl === ''
        ? null
        : { url: webhookUrl, secret: webhookSecret, host: config.bot.host, port: config.bot.port },
    logger,
    metrics: createBotMetrics(telemetry.registry),
    clock: systemClock,
    signal: shutdown.signal,
  });
  shutdown.add('bot', () => bot.stop(), STOP_TIMEOUT_MS);
  health.addCheck('start', () => Promise.resolve());
  health.addCheck('postgresql', () => bot.db.query('select 1'));
  health.addCheck('telegram', () => bot.checkTelegram());
  shutdown.add('readiness', () => health.drain());
}
