import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { uuidv7 } from '../../src/core/ids.ts';
import type { NewJob } from '../../src/core/job.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { connectDatabase, type Database } from '../../src/ledger/database.ts';
import { migrate } from '../../src/ledger/migrate.ts';
import { putPool } from '../../src/ledger/pools.ts';
import { WorkerLedger } from '../../src/ledger/worker-ledger.ts';

const TEMPLATE = 'longshore_template';
const TEMPLATE_LOCK = 77_001;

/** A ledger of its own for one test file: a database made from a migrated template. */
export interface TestLedger {
  /** As the owner, who may do everything. */
  url: string;
  /** As a worker, who may execute the worker's functions. */
  workerUrl: string;
  db: Database;
  /** Opens the pool `default` of namespace `default`. */
  poolSecret: string;
  /** A worker's view, under its own connection and role. */
  worker(workerId?: string, leaseSeconds?: number): WorkerLedger;
  close(): Promise<void>;
}

/**
 * @param types - The types that the pool `default` serves. Defaults to `['echo']`.
 * @param serverUrl - Defaults to the PostgreSQL that all tests share.
 */
export async function createTestLedger(
  types: readonly string[] = ['echo'],
  serverUrl = process.env.LONGSHORE_TEST_POSTGRES_URL,
): Promise<TestLedger> {
  if (serverUrl === undefined)
    throw new Error('LONGSHORE_TEST_POSTGRES_URL is not set: run the tests by "make test-integration"');
  const name = `t_${randomBytes(6).toString('hex')}`;
  await withServer(serverUrl, async (client) => {
    await client.query('select pg_advisory_lock($1)', [TEMPLATE_LOCK]);
    await ensureTemplate(client, serverUrl);
    await client.query(`create database ${name} template ${TEMPLATE}`);
    await client.query(`do $$ begin create role longshore_test_worker login password 'worker' in role longshore_worker;
      exception when duplicate_object then null; end $$`);
  });
  const url = withDatabase(serverUrl, name);
  const workerUrl = withDatabase(serverUrl, name, 'longshore_test_worker', 'worker');
  const db = connectDatabase({ url, applicationName: 'test', logger: silentLogger });
  const workers: Database[] = [];
  const poolSecret = randomBytes(16).toString('hex');
  await putPool(db, { namespace: 'default', name: 'default', types }, poolSecret);
  return {
    url,
    workerUrl,
    db,
    poolSecret,
    worker(workerId = `worker-${workers.length}`, leaseSeconds = 30) {
      const pool = connectDatabase({
        url: workerUrl,
        applicationName: workerId,
        maxConnections: 2,
        logger: silentLogger,
      });
      workers.push(pool);
      return new WorkerLedger(pool, { secret: poolSecret, workerId, leaseSeconds });
    },
    async close() {
      await Promise.all([db.end(), ...workers.map((pool) => pool.end())]);
      await withServer(serverUrl, (client) => client.query(`drop database if exists ${name} with (force)`));
    },
  };
}

async function ensureTemplate(client: pg.Client, serverUrl: string): Promise<void> {
  const url = withDatabase(serverUrl, TEMPLATE);
  const { rowCount } = await client.query('select from pg_database where datname = $1', [TEMPLATE]);
  if (rowCount === 0) await client.query(`create database ${TEMPLATE}`);
  // Idempotent: a template of an earlier run gets the migrations that are new.
  await migrate(url, silentLogger);
}

async function withServer<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function withDatabase(serverUrl: string, database: string, user?: string, password?: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  if (user !== undefined) url.username = user;
  if (password !== undefined) url.password = password;
  return url.toString();
}

/** A job as the API would accept it, with what the test says instead of the defaults. */
export function newJob(overrides: Partial<NewJob> = {}): NewJob {
  return {
    id: uuidv7(),
    namespace: 'default',
    type: 'echo',
    input: { hello: 'world' },
    priority: 0,
    runAtMs: null,
    timeoutSeconds: 60,
    retries: 2,
    backoff: { baseMs: 10, maxMs: 100 },
    labels: {},
    ttlSecondsAfterFinished: 60,
    suspended: false,
    webhook: null,
    traceparent: null,
    resource: null,
    blobs: [],
    uniqueKey: null,
    ...overrides,
  };
}

/** Ends a job as a worker's commit would, without a worker. */
export async function settle(
  db: Database,
  id: string,
  fate: 'SUCCESS' | 'ERROR' | 'CANCELLED',
  end: { result?: unknown; error?: object; blobs?: readonly object[] } = {},
): Promise<void> {
  await db.query(
    'select settle_jobs(array[row($1::uuid, $2::text, null, $3::jsonb, $4::jsonb, null, $5::jsonb)::settlement])',
    [
      id,
      fate,
      JSON.stringify(end.result ?? null),
      end.error === undefined ? null : JSON.stringify(end.error),
      JSON.stringify(end.blobs ?? []),
    ],
  );
}
