import { readFile } from 'node:fs/promises';
import type { Config } from '../config/config.ts';
import { systemClock } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import type { Tracer } from '../core/tracing.ts';
import type { WebhookRules } from '../core/webhook-url.ts';
import { startProcess } from '../lifecycle/start-process.ts';
import { SHIPPED_TYPES } from '../types/registry.ts';
import type { ApiMetrics } from './deps.ts';
import { startApi } from './start-api.ts';

/** What the process is observed with; the CLI makes it. */
export interface ApiTelemetry {
  logger: Logger;
  metrics: ApiMetrics;
  /** The metrics of the process as text, with their media type. */
  renderMetrics(): Promise<{ contentType: string; body: string }>;
  tracer: Tracer;
  /** Sends what is left of the traces. */
  stop(): Promise<void>;
}

const BODY_TIMEOUT_MS = 30_000;
const MAX_UPLOADS = 64;
const MAX_STREAMS_PER_KEY = 200;

/** Runs an API process until it is told to stop. */
export async function runApi(config: Config, telemetry: ApiTelemetry): Promise<void> {
  const { logger } = telemetry;
  const { shutdown, health } = await startProcess({ name: 'API', health: config.health, telemetry });
  const api = await startApi({
    host: config.api.host,
    port: config.api.port,
    postgresUrl: config.postgres.url,
    postgresPoolSize: config.postgres.poolSize,
    postgresReadUrl: config.postgres.readUrl,
    readings: config.readings,
    redisUrl: config.redis.url,
    redisPrefix: config.redis.prefix,
    auth: config.api.auth,
    rateLimit: { perSecond: config.api.keyRatePerSecond, burst: config.api.keyRateBurst },
    limits: {
      jsonBytes: config.api.jsonLimitBytes,
      imageBytes: config.api.imageLimitBytes,
      bodyTimeoutMs: BODY_TIMEOUT_MS,
      requestTimeoutMs: config.api.requestTimeoutMs,
      maxInFlight: config.api.maxInFlight,
      maxUploads: MAX_UPLOADS,
      maxStreamsPerKey: MAX_STREAMS_PER_KEY,
    },
    webhooks: webhookRules(config),
    types: SHIPPED_TYPES,
    version: await packageVersion(),
    logger,
    metrics: telemetry.metrics,
    clock: systemClock,
    tracer: telemetry.tracer,
    signal: shutdown.signal,
  });
  shutdown.add('api', () => api.stop(), 10_000);
  health.addCheck('start', () => Promise.resolve());
  health.addCheck('postgresql', () => api.checkLedger());
  shutdown.add('readiness', () => health.drain());
}

/** The secret itself is the controller's affair; here it only counts that there is one. */
function webhookRules({ webhooks: { allowPrivate, secret } }: Config): WebhookRules {
  return { allowInsecure: allowPrivate, allowPrivate, canSign: secret !== '' };
}

async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
