import type { Clock } from '../core/clock.ts';
import type { JobType } from '../core/job-type.ts';
import type { Logger } from '../core/logger.ts';
import { RateReader } from '../core/rates/rate-reader.ts';
import type { RateLimit } from '../core/token-bucket.ts';
import type { Tracer } from '../core/tracing.ts';
import type { WebhookRules } from '../core/webhook-url.ts';
import { JobAcceptor } from '../ledger/accept.ts';
import { API_KEY_SCOPES, findApiKey } from '../ledger/api-keys.ts';
import { connectDatabase, type Database } from '../ledger/database.ts';
import { listEvents } from '../ledger/events.ts';
import { findJobType, putJobType } from '../ledger/job-types.ts';
import { LedgerListener } from '../ledger/listener.ts';
import { waitForSchema } from '../ledger/migrate.ts';
import { createRateSource } from '../ledger/rates.ts';
import { RateCache } from '../queue/rate-cache.ts';
import { StatusCache } from '../queue/status-cache.ts';
import { VersionedCache } from '../queue/versioned-cache.ts';
import { TypeCatalogue } from '../types/type-catalogue.ts';
import { createApp } from './app.ts';
import { Authenticator, createPrincipal } from './authenticator.ts';
import type { ApiLimits, ApiMetrics } from './deps.ts';
import { EventHub } from './event-hub.ts';
import { JobReader } from './job-reader.ts';
import { closeServer, listen } from './server.ts';
import { toStoredType } from './shipped-types.ts';
import { type ReadingSettings, startReadings } from './start-readings.ts';

export interface ApiOptions {
  host: string;
  port: number;
  postgresUrl: string;
  postgresPoolSize: number;
  /** A read replica; empty for none. */
  postgresReadUrl: string;
  readings: ReadingSettings;
  redisUrl: string;
  redisPrefix: string;
  auth: 'keys' | 'off';
  rateLimit: RateLimit;
  limits: ApiLimits;
  webhooks: WebhookRules;
  types: readonly JobType[];
  version: string;
  logger: Logger;
  metrics: ApiMetrics;
  clock: Clock;
  tracer: Tracer;
  /** Ends the waiting for PostgreSQL. */
  signal: AbortSignal;
}

export interface RunningApi {
  url: string;
  /** Rejects when the ledger does not answer, and readings cannot be spooled either. */
  checkLedger(): Promise<unknown>;
  stop(): Promise<void>;
}

/** How long requests under way get at the end; event streams are cut then, and come back elsewhere. */
const CLOSE_GRACE_MS = 2_000;
/** PostgreSQL that does not take connections is told within a second. */
const CONNECT_TIMEOUT_MS = 900;
/** Uploads may take this many times as long as a JSON body. */
const UPLOAD_TIME_FACTOR = 10;

/** Starts an API: waits for the ledger, makes the shipped types known in it, and listens. */
export async function startApi(options: ApiOptions): Promise<RunningApi> {
  const { logger, clock } = options;
  const db = await openLedger(options);
  const acceptor = new JobAcceptor({ db, logger, onBatch: (batch) => options.metrics.observeBatch(batch) });
  const cache = new VersionedCache({
    redisUrl: options.redisUrl,
    logger,
    onRead: (outcome) => options.metrics.countCacheRead(outcome),
  });
  const jobs = new JobReader({ db, cache: new StatusCache(cache, options.redisPrefix), clock });
  const events = new EventHub({ list: (cursors) => listEvents(db, cursors), logger });
  const rates = new RateReader({
    source: createRateSource(db),
    copies: new RateCache(cache, options.redisPrefix),
    ...{ logger, clock },
  });
  const listener = listenForChanges(options, { jobs, events, rates });
  const { limits, webhooks, metrics, version, tracer } = options;
  const readings = await startReadings({
    ...{ ...options, ...options.readings, db },
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  });
  const types = new TypeCatalogue({
    shipped: options.types,
    find: (ns, name) => findJobType(db, ns, name),
    clock,
  });
  const auth = createAuth(options, db);
  const app = createApp({
    db,
    acceptor,
    readings: readings.deps,
    types,
    jobs,
    events,
    rates,
    auth,
    webhooks,
    limits,
    metrics,
    logger,
    clock,
    version,
    tracer,
  });
  const { server, url } = await listen(app, {
    host: options.host,
    port: options.port,
    requestTimeoutMs: limits.bodyTimeoutMs * UPLOAD_TIME_FACTOR,
  });
  logger.info({ url }, 'API started');
  return {
    url,
    async checkLedger() {
      // With room in the spool this process is of use without the ledger.
      if (readings.canSpool()) return;
      await db.query('select 1');
    },
    async stop() {
      await closeServer(server, CLOSE_GRACE_MS);
      events.stop();
      rates.stop();
      await acceptor.drain();
      await readings.stop();
      await listener.stop();
      cache.stop();
      await db.end();
    },
  };
}

/** The ledger at its newest schema, with the shipped types in it. */
async function openLedger(options: ApiOptions): Promise<Database> {
  const { logger } = options;
  const db = connectDatabase({
    url: options.postgresUrl,
    applicationName: 'longshore-api',
    maxConnections: options.postgresPoolSize,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    statementTimeoutMs: options.limits.requestTimeoutMs,
    logger,
  });
  await waitForSchema(db, logger, options.signal);
  for (const type of options.types) await putJobType(db, toStoredType(type));
  return db;
}

function createAuth(options: ApiOptions, db: Database) {
  const { rateLimit, clock } = options;
  return options.auth === 'off'
    ? createPrincipal(null, 'default', API_KEY_SCOPES, rateLimit, clock)
    : new Authenticator({ find: (id) => findApiKey(db, id), clock, rateLimit });
}

/** Event streams and the cache hear of changes at once; both have a slower way without it. */
function listenForChanges(
  options: ApiOptions,
  { jobs, events, rates }: { jobs: JobReader; events: EventHub; rates: RateReader },
): LedgerListener {
  const listener = new LedgerListener({ url: options.postgresUrl, logger: options.logger });
  listener.on('changes', (ids) => {
    events.wake(ids);
    jobs.onChanges(ids).catch((error: unknown) => {
      options.logger.warn({ err: error }, 'Failed to refresh the status cache');
    });
  });
  listener.on('rates', (namespace, version) => rates.onChange(namespace, version));
  listener.on('connected', () => rates.check());
  listener.start();
  return listener;
}
