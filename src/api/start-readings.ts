import type { Logger } from '../core/logger.ts';
import { toNewReading } from '../core/meter-reading.ts';
import { connectDatabase, type Database } from '../ledger/database.ts';
import { ReadReplica } from '../ledger/read-replica.ts';
import { ReadingStore } from '../ledger/reading-store.ts';
import { type SentReading, storeReadings } from '../ledger/store-readings.ts';
import type { ApiLimits, ApiMetrics, ReadingDeps } from './deps.ts';
import { ReadingIntake } from './reading-intake.ts';
import { ReadingSpool } from './reading-spool.ts';
import type { SpoolEntry } from './spooled-keys.ts';

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

function openSpool(options: StartReadingsOptions): Promise<ReadingSpool> {
  return ReadingSpool.open({
    dir: options.spoolDir,
    maxBytes: options.spoolLimitBytes,
    store: (entries) => storeSpooled(options, entries),
    logger: options.logger,
    onChange: (change) => options.metrics.observeSpool(change),
  });
}

/**
 * What is spooled was acknowledged: it is stored whatever its meter says, and then REFUSED where it must be; and without
 * its key where that has come to stand for another body.
 */
async function storeSpooled(
  { db, timeZone, logger }: StartReadingsOptions,
  entries: readonly SpoolEntry[],
): Promise<void> {
  const sent = entries.map(
    ({ reading, key }): SentReading => ({
      reading,
      key,
      at: (readAtMs) => toNewReading({ ...reading, readAtMs }, timeZone),
      traceparent: null,
    }),
  );
  const stored = await storeReadings(db, sent, { keepRefused: true });
  const unkeyed = sent.flatMap((one, index) =>
    stored[index]?.outcome === 'conflict' ? [{ ...one, key: null }] : [],
  );
  if (unkeyed.length === 0) return;
  await storeReadings(db, unkeyed, { keepRefused: true });
  logger.warn(
    { readings: unkeyed.length },
    'Stored readings of the spool without their keys, which stand for others',
  );
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
