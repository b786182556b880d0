import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { Logger } from '../core/logger.ts';
import { isUnavailable, type Queryable } from './database.ts';

const MIGRATIONS = fileURLToPath(new URL('migrations', import.meta.url));
/** Splits tables into partitions: for PostgreSQL itself, not for databases that spread tables on their own. */
const PARTITIONS = fileURLToPath(new URL('partitions', import.meta.url));

/** Any number, the same in every process: held while migrations run. */
const MIGRATION_LOCK = 5_417_001;

/** The number of the newest migration that this code knows. */
export async function knownSchemaVersion(): Promise<number> {
  const files = await readdir(MIGRATIONS);
  return Math.max(...files.filter((file) => file.endsWith('.sql')).map((file) => Number.parseInt(file, 10)));
}

/**
 * Brings the schema up to date. Several may start at once: they take their turn, and the later ones find nothing to do.
 *
 * @param url - A login that may create schemas and roles.
 * @param options.partitions - Whether tables that can do without are partitioned. Defaults to true.
 * @returns the names of the migrations that ran.
 */
export async function migrate(
  url: string,
  logger: Logger,
  options: { partitions?: boolean } = {},
): Promise<string[]> {
  // Every process has this file for the sake of the schema's version; only this function is worth the library's memory.
  const { runner } = await import('node-pg-migrate');
  const client = new pg.Client({ connectionString: url, application_name: 'longshore-migrate' });
  await client.connect();
  try {
    // A transaction-scoped pooler would lose a session lock, so migrations want a direct connection.
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await client.query('create schema if not exists longshore');
    const run = async (dir: string, migrationsTable: string) => {
      const done = await runner({
        dbClient: client,
        dir,
        direction: 'up',
        migrationsTable,
        migrationsSchema: 'longshore',
        noLock: true,
        checkOrder: true,
        log: () => {},
      });
      return done.map((migration) => migration.name);
    };
    const names = await run(MIGRATIONS, 'pgmigrations');
    if (options.partitions !== false) names.push(...(await run(PARTITIONS, 'partition_migrations')));
    if (names.length > 0) logger.info({ migrations: names }, 'Migrated the ledger');
    return names;
  } finally {
    await client.end();
  }
}

/** The ledger has a schema that is newer than this code: starting would write rows that it does not understand. */
export class SchemaTooNewError extends Error {
  override name = 'SchemaTooNewError';
}

/** The version of the schema in the ledger; 0 when there is none. */
export async function schemaVersion(db: Queryable): Promise<number> {
  try {
    const { rows } = await db.query('select longshore.schema_version() as version');
    return rows[0]?.version ?? 0;
  } catch (error) {
    // 3F000: no such schema; 42883: no such function; 42P01: no such table.
    if (['3F000', '42883', '42P01'].includes(String((error as { code?: unknown }).code))) return 0;
    throw error;
  }
}

/**
 * Waits until the ledger can be reached and has the schema that this code was written for, saying at each change what
 * it waits for. Rejects with {@link SchemaTooNewError} for a newer schema, and when `signal` aborts.
 */
export async function waitForSchema(db: Queryable, logger: Logger, signal: AbortSignal): Promise<void> {
  const known = await knownSchemaVersion();
  let delayMs = 250;
  for (;;) {
    const found = await schemaVersion(db).catch((error: unknown) => {
      if (!isUnavailable(error)) throw error;
      logger.warn({ err: error, retryInMs: delayMs }, 'Waited for PostgreSQL: it does not answer yet');
      return null;
    });
    if (found === known) return;
    if (found !== null && found > known) {
      throw new SchemaTooNewError(
        `The ledger has schema version ${found}, this program knows ${known}: run the newer program, or restore an older ledger`,
      );
    }
    if (found !== null) {
      logger.warn({ found, needed: known }, 'Waited for the ledger to be migrated: run "longshore migrate"');
    }
    await sleep(delayMs, undefined, { signal });
    delayMs = Math.min(5_000, delayMs * 2);
  }
}
