import { loadConfig } from '../config/config.ts';
import { connectDatabase, type Database } from '../ledger/database.ts';
import { createLogger } from '../telemetry/logger.ts';

/** Runs `work` on the ledger of the environment, on one connection. */
export async function withLedger<T>(work: (db: Database) => Promise<T>): Promise<T> {
  const config = loadConfig(process.env, ['LONGSHORE_POSTGRES_URL']);
  const logger = createLogger({ name: 'cli', level: config.log.level });
  const db = connectDatabase({
    url: config.postgres.url,
    applicationName: 'longshore-cli',
    maxConnections: 1,
    logger,
  });
  try {
    return await work(db);
  } finally {
    await db.end();
  }
}
