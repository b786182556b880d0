import type { Command } from 'commander';
import { type Config, loadConfig } from '../config/config.ts';
import type { ShippedHandlerSettings } from '../types/handlers.ts';
import { addMigrateCommand } from './migrate-command.ts';

/** The processes of Longshore. Each loads only its own code: a worker never loads the Kubernetes client. */
export function addProcessCommands(program: Command): void {
  program
    .command('api')
    .description('run the REST API')
    .action(async () => {
      const config = loadConfig(process.env, ['LONGSHORE_POSTGRES_URL', 'LONGSHORE_REDIS_URL']);
      const { runApi } = await import('../api/main.ts');
      const { createApiTelemetry } = await import('./api-telemetry.ts');
      await runApi(config, await createApiTelemetry(config));
    });
  program
    .command('controller')
    .description('run the controller: admission, recovery, schedules, webhooks')
    .action(async () => {
      const config = loadConfig(process.env, ['LONGSHORE_POSTGRES_URL', 'LONGSHORE_REDIS_URL']);
      const { runController } = await import('../controller/main.ts');
      await runController(config);
    });
  program
    .command('worker')
    .description('run a worker of the shipped types')
    .action(async () => {
      const config = loadConfig(process.env, [
        'LONGSHORE_WORKER_POSTGRES_URL',
        'LONGSHORE_REDIS_URL',
        'LONGSHORE_WORKER_POOL_SECRET',
      ]);
      const { runWorker } = await import('../worker/main.ts');
      const { createShippedHandlers } = await import('../types/handlers.ts');
      await runWorker(config, (settings) => createShippedHandlers(handlerSettings(settings)));
    });
  program
    .command('bot')
    .description('run the Telegram bot for exchange rates')
    .action(async () => {
      const config = loadConfig(process.env, ['LONGSHORE_POSTGRES_URL', 'LONGSHORE_BOT_TOKEN']);
      const { runBot } = await import('../bot/main.ts');
      await runBot(config);
    });
  addMigrateCommand(program);
}

function handlerSettings({ providers }: Config): ShippedHandlerSettings {
  return {
    contractSource: {
      etherscan: {
        baseUrl: providers.etherscanUrl,
        apiKey: providers.etherscanApiKey,
        perSecond: providers.etherscanCallsPerSecond,
        perDay: providers.etherscanCallsPerDay,
      },
      sourcify: { baseUrl: providers.sourcifyUrl },
    },
    exchangeRate: {
      providers: {
        binance: {
          baseUrl: providers.binanceUrl,
          limits: { perMinute: providers.binanceWeightPerMinute, perMonth: 0 },
        },
        coingecko: {
          baseUrl: providers.coingeckoUrl,
          apiKey: providers.coingeckoApiKey,
          limits: {
            perMinute: providers.coingeckoCallsPerMinute,
            perMonth: providers.coingeckoCallsPerMonth,
          },
        },
      },
    },
  };
}
