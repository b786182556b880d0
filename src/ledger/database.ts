import pg from 'pg';
import type { Logger } from '../core/logger.ts';

/** What the queries of this folder run on: a pool, or one client inside a transaction. */
export type Queryable = Pick<pg.Pool, 'query'>;
export type Database = pg.Pool;
export type DatabaseClient = pg.PoolClient;

export interface DatabaseOptions {
  url: string;
  /** Shown in `pg_stat_activity`. */
  applicationName: string;
  /** Defaults to 10. */
  maxConnections?: number;
  /** The longest that one statement may run. Defaults to 10 s. */
  statementTimeoutMs?: number;
  /** The longest wait for a free connection, and for a new one to open. Defaults to 5 s. */
  connectTimeoutMs?: number;
  logger: Logger;
}

// bigint columns (versions, leases, sizes) stay far below 2^53.
const INT8 = 20;
pg.types.setTypeParser(INT8, (text) => Number(text));

/** A pool of connections whose every statement has a deadline, on the server's side and on ours. */
export function connectDatabase(options: DatabaseOptions): Database {
  const statementTimeoutMs = options.statementTimeoutMs ?? 10_000;
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.maxConnections ?? 10,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    statement_timeout: statementTimeoutMs,
    // A little longer than the server's, for a server that does not answer at all.
    query_timeout: statementTimeoutMs + 2_000,
    idle_in_transaction_session_timeout: 10_000,
    keepAlive: true,
    options: '-c search_path=longshore -c jit=off',
  });
  // An idle connection that breaks is replaced at the next query; without a listener it would end the process.
  pool.on('error', (error) => options.logger.warn({ err: error }, 'Lost an idle PostgreSQL connection'));
  return pool;
}

/** Runs `work` in a transaction: committed when it resolves, rolled back when it rejects. `begin` may ask for a snapshot. */
export async function withTransaction<T>(
  db: Database,
  work: (client: DatabaseClient) => Promise<T>,
  begin = 'begin',
): Promise<T> {
  const client = await db.connect();
  let broken: Error | undefined;
  // The pool listens only to clients that rest in it: one that breaks in our hands would end the process. The query under
  // way rejects all the same.
  const onError = (error: Error) => {
    broken = error;
  };
  client.on('error', onError);
  try {
    await client.query(begin);
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((rollbackError: Error) => {
      broken = rollbackError;
    });
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

/**
 * Whether the statement may or may not have been executed: the connection broke, or the answer did not come in time.
 * What it wrote has to be looked up before anything is said about it.
 */
export function isOutcomeUnknown(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) {
    // 57P01…57P03: the server is going down or is not up yet; 08…: the connection; 40003: completion unknown.
    return code.startsWith('08') || code === '40003' || code === '57P01' || code === '57P02';
  }
  return isConnectionError(error);
}

/** Whether PostgreSQL could not be reached or does not take statements now: trying again later is right. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  // 25006: a standby that is not promoted yet answers where the primary did.
  if (typeof code === 'string' && /^(08|57P|53|25006$)/.test(code)) return true;
  return isConnectionError(error);
}

/** Whether PostgreSQL refuses the very data (a NUL in a text, JSON too deep): the same statement will never pass. */
export function isDataRefused(error: unknown): boolean {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' && /^(22|54)[0-9A-Z]{3}$/.test(code);
}

const SOCKET_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

function isConnectionError(error: Error): boolean {
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string' && SOCKET_CODES.has(code)) return true;
  // node-postgres gives these errors no code.
  return /^(Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client has encountered a connection error)/.test(
    error.message,
  );
}
