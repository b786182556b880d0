import type { Logger } from '../core/logger.ts';
import { connectDatabase, type Database } from '../ledger/database.ts';
import { ReadReplica } from '../ledger/read-replica.ts';
import { ReadingStore } from '../ledger/reading-store.ts';
import { storeReadings } from '../ledger/store-readings.ts';
import type { ApiLimits, ApiMetrics, ReadingDeps } from './deps.ts';
import { ReadingIntake } from './reading-intake.ts';
import { ReadingSpool } from './reading-spool.ts';

export interface ReadingSettings {
  /** Of the meters, an IANA name. */
  timeZone: string;
  /** Folder of the spool; empty for none. */
  spoolDir: string;
  spoolLimitBytes: number;
}

export interface StartReadingsOptions extends ReadingSettings {
  db: Database;
  postgresReadUrl: string;
  postgresPoolSize: number;
  connectTimeoutMs: number;
  limits: ApiLimits;
  metrics: ApiMetrics;
  logger: Logger;
}

/** What the API needs for meter readings: the commit batch, the spool, the read replica. */
export async function startReadings(options: StartReadingsOptions): Promise<{
  deps: ReadingDeps;
  /** Whether readings are taken also without the ledger. */
  canSpool(): boolean;
  stop(): Promise<void>;
}> {
  const { db, logger, metrics, limits } = options;
  const store = new ReadingStore({ db, logger, onBatch: (batch) => metrics.observeReadingBatch(batch) });
  const spool = options.spoolDir === '' ? null : await openSpool(options);
  const replica = new ReadReplica(db, connectReplica(options), logger);
  const intake = new ReadingIntake({
    store,
    spool,
    timeoutMs: limits.requestTimeoutMs,
    onIntake: (outcome, readings) => metrics.countReadings(outcome, readings),
  });
  return {
    deps: {
      intake,
      query: (work) => replica.query(work),
      hasReplica: replica.hasReplica,
      timeZone: options.timeZone,
    },
    canSpool: () => spool !== null && !spool.isFull,
    async stop() {
      await store.drain();
      await spool?.stop();
      await replica.end();
    },
  };
}

/** What is spooled was acknowledged: it is stored whatever its meter says, and then REFUSED where it must be. */
function openSpool({
  db,
  logger,
  metrics,
  spoolDir,
  spoolLimitBytes,
}: StartReadingsOptions): Promise<ReadingSpool> {
  return ReadingSpool.open({
    dir: spoolDir,
    maxBytes: spoolLimitBytes,
    store: (readings) =>
      storeReadings(
        db,
        readings.map((reading) => ({ reading, key: null, at: () => reading, traceparent: null })),
        { keepRefused: true },
      ),
    logger,
    onChange: (change) => metrics.observeSpool(change),
  });
}

function connectReplica({
  postgresReadUrl,
  postgresPoolSize,
  connectTimeoutMs,
  limits,
  logger,
}: StartReadingsOptions) {
  if (postgresReadUrl === '') return null;
  return connectDatabase({
    url: postgresReadUrl,
    applicationName: 'longshore-api-read',
    maxConnections: postgresPoolSize,
    connectTimeoutMs,
    statementTimeoutMs: limits.requestTimeoutMs,
    logger,
  });
}
