import type { Command } from 'commander';
import { type Config, loadConfig } from '../config/config.ts';
import type { Logger } from '../core/logger.ts';
import { putApiKey } from '../ledger/api-keys.ts';
import { connectDatabase } from '../ledger/database.ts';
import { migrate } from '../ledger/migrate.ts';
import { ensureWorkerLogin } from '../ledger/worker-login.ts';
import { waitForDependency } from '../lifecycle/wait-for.ts';
import { createLogger } from '../telemetry/logger.ts';
import { seedRates } from './seed-rates.ts';

interface MigrateOptions {
  wait: string;
  partitions: boolean;
  workerLogin?: boolean;
  adminKey?: string;
  seedRates?: string;
}

/** `longshore migrate`: the schema, and on request what a first start needs besides. All of it may be repeated. */
export function addMigrateCommand(program: Command): void {
  program
    .command('migrate')
    .description('bring the ledger up to date; any number may run at once')
    .option('--wait <seconds>', 'how long to wait for PostgreSQL', '60')
    .option('--no-partitions', 'leave tables whole that can be: for databases that spread them by themselves')
    .option('--worker-login', 'make the login of LONGSHORE_WORKER_POSTGRES_URL, or change its password')
    .option(
      '--admin-key <namespace>',
      'make the key LONGSHORE_ADMIN_API_KEY, of scope admin, in the namespace',
    )
    .option('--seed-rates <namespace>', 'track the usual exchange rates there, unless some are tracked')
    .action(async (options: MigrateOptions) => {
      const config = loadConfig(process.env, [
        process.env.LONGSHORE_POSTGRES_URL ? 'LONGSHORE_POSTGRES_URL' : 'LONGSHORE_MIGRATE_POSTGRES_URL',
        ...(options.workerLogin === true ? ['LONGSHORE_WORKER_POSTGRES_URL'] : []),
        ...(options.adminKey === undefined ? [] : ['LONGSHORE_ADMIN_API_KEY']),
      ]);
      const { migrateUrl, url, workerUrl } = config.postgres;
      const ownerUrl = migrateUrl === '' ? url : migrateUrl;
      const logger = createLogger({ name: 'migrate', level: config.log.level });
      const signal = AbortSignal.timeout(Number(options.wait) * 1_000);
      const waiting = { logger, signal, probeTimeoutMs: 300_000 };
      const names = await waitForDependency('PostgreSQL', () => migrate(ownerUrl, logger, options), waiting);
      if (names.length === 0) logger.info({}, 'Found the ledger up to date');
      if (options.workerLogin === true) {
        await ensureWorkerLogin(ownerUrl, workerUrl);
        logger.info({ login: new URL(workerUrl).username }, 'Made sure of the login of workers');
      }
      if (options.adminKey !== undefined || options.seedRates !== undefined)
        await fill(ownerUrl, config, options, logger);
    });
}

async function fill(
  url: string,
  config: Config,
  { adminKey, seedRates: rates }: MigrateOptions,
  logger: Logger,
): Promise<void> {
  const db = connectDatabase({ url, applicationName: 'longshore-migrate', maxConnections: 1, logger });
  try {
    if (adminKey !== undefined) {
      const key = { name: 'admin', namespace: adminKey, scopes: ['admin'], expiresAtMs: null } as const;
      const id = await putApiKey(db, config.api.adminKey, key);
      logger.info({ keyId: id, namespace: adminKey }, 'Made sure of the admin API key');
    }
    if (rates !== undefined) {
      const pairs = await seedRates(db, rates);
      logger.info({ pairs, namespace: rates }, 'Made sure that exchange rates are tracked');
    }
  } finally {
    await db.end();
  }
}
