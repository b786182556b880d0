import { type Config, loadConfig } from '../config/config.ts';
import { connectDatabase, type Database, type DatabaseOptions } from '../ledger/database.ts';
import { createLogger } from '../telemetry/logger.ts';

/** Runs `work` on the ledger of the environment, on one connection unless `options` say otherwise. */
export async function withLedger<T>(
  work: (db: Database, config: Config) => Promise<T>,
  options: Pick<DatabaseOptions, 'maxConnections' | 'statementTimeoutMs'> = {},
): Promise<T> {
  const config = loadConfig(process.env, ['LONGSHORE_POSTGRES_URL']);
  const logger = createLogger({ name: 'cli', level: config.log.level });
  const db = connectDatabase({
    url: config.postgres.url,
    applicationName: 'longshore-cli',
    maxConnections: 1,
    ...options,
    logger,
  });
  try {
    return await work(db, config);
  } finally {
    await db.end();
  }
}
