import { bot } from './bot.ts';
import { pools } from './pools.ts';
import { api, controller, health, worker } from './processes.ts';
import { readings } from './readings.ts';
import { scaler } from './scaler.ts';
import { kubernetes, log, postgres, providers, redis, retention, webhooks } from './surroundings.ts';

/** Every variable of Longshore, in the order of the reference. Variables that start with OTEL_ are OpenTelemetry's own. */
export const groups = {
  postgres,
  redis,
  kubernetes,
  api,
  readings,
  health,
  worker,
  controller,
  pools,
  scaler,
  webhooks,
  providers,
  bot,
  log,
  retention,
} as const;
