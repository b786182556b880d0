import { hostname } from 'node:os';
import { type Config, type Environment, loadConfig } from '../config/config.ts';
import type { Registration } from '../core/handler.ts';
import { uuidv7 } from '../core/ids.ts';
import { isFinal, type JobStatus } from '../core/job.ts';
import { connectDatabase } from '../ledger/database.ts';
import { waitForSchema } from '../ledger/migrate.ts';
import type { Committed, Outcome } from '../ledger/worker-ledger.ts';
import { startProcess } from '../lifecycle/start-process.ts';
import { waitForDependency } from '../lifecycle/wait-for.ts';
import { createJobMetrics, createWorkerMetrics } from '../telemetry/metrics.ts';
import { type ProcessTelemetry, startTelemetry } from '../telemetry/process-telemetry.ts';
import type { ProcessorObserver } from './job-processor.ts';
import { Worker } from './worker.ts';

/** Variables that a worker cannot do without. */
const REQUIRED = ['LONGSHORE_WORKER_POSTGRES_URL', 'LONGSHORE_REDIS_URL', 'LONGSHORE_WORKER_POOL_SECRET'];

/** A worker needs few connections, whatever its concurrency: claims, commits and renewals are shared statements. */
const CONNECTIONS = 2;

/** What is left of the grace period after the drain: closing, the last traces. */
const EXIT_RESERVE_SECONDS = 5;

/**
 * Runs a worker process for the given handlers until it is told to stop; the settings come from `LONGSHORE_*` variables.
 * SIGTERM drains it: running jobs finish within the grace period, the rest are handed back at no cost.
 *
 * @throws ConfigError naming every variable that is wrong.
 */
export async function startWorker(
  registrations: readonly Registration[],
  options: { env?: Environment } = {},
): Promise<void> {
  await runWorker(loadConfig(options.env ?? process.env, REQUIRED), () => registrations);
}

/** As {@link startWorker}, with handlers that need the configuration. */
export async function runWorker(
  config: Config,
  createRegistrations: (config: Config) => readonly Registration[],
): Promise<void> {
  const telemetry = await startTelemetry('worker', config.log.level);
  const { logger } = telemetry;
  const { shutdown, health } = await startProcess({ name: 'worker', health: config.health, telemetry });

  const registrations = createRegistrations(config).filter(
    ({ type }) => config.worker.types.length === 0 || config.worker.types.includes(type.name),
  );
  const workerId = `${hostname()}-${process.pid}-${uuidv7().slice(-8)}`;
  const db = connectDatabase({
    url: config.postgres.workerUrl,
    applicationName: 'longshore-worker',
    maxConnections: CONNECTIONS,
    logger,
  });
  shutdown.add('postgresql', () => db.end());
  await waitForSchema(db, logger, shutdown.signal);

  const worker = new Worker({
    db,
    redisUrl: config.redis.url,
    prefix: config.redis.prefix,
    namespace: config.worker.namespace,
    poolSecret: config.worker.poolSecret,
    workerId,
    registrations,
    concurrency: config.worker.concurrency,
    leaseSeconds: config.worker.leaseSeconds,
    renewSeconds: config.worker.renewSeconds,
    logger: logger.child({ worker: workerId }),
    tracer: telemetry.tracer,
    observer: createObserver(
      telemetry,
      registrations.map(({ type }) => type.name),
    ),
  });
  await waitForDependency('Redis and the pool', () => worker.start(), { logger, signal: shutdown.signal });
  const graceMs = Math.max(0, config.worker.graceSeconds - EXIT_RESERVE_SECONDS) * 1_000;
  shutdown.add('jobs', () => worker.drain(graceMs), graceMs + 20_000);
  shutdown.add('readiness', () => health.drain());
  health.addCheck('start', async () => {});
  health.addCheck('postgresql', () => db.query('select 1'));
  logger.info(
    { types: registrations.map(({ type }) => type.name), concurrency: config.worker.concurrency },
    'Worker started',
  );
}

function createObserver(telemetry: ProcessTelemetry, types: readonly string[]): ProcessorObserver {
  const metrics = createWorkerMetrics(telemetry.registry, types);
  const phases = createJobMetrics(telemetry.registry, types);
  return {
    claimed(job) {
      metrics.claims.inc({ type: job.type, outcome: 'claimed' });
      metrics.running.inc({ type: job.type });
    },
    refused(type) {
      metrics.claims.inc({ type, outcome: 'refused' });
    },
    committed(job, outcome, { verdict, status }, runMs) {
      metrics.commits.inc({ type: job.type, outcome: countedAs(outcome, verdict, status) });
      if (verdict !== 'committed' || status === null || !isFinal(status)) return;
      phases.observeFinished({ ...job, finishedAtMs: job.startedAtMs + runMs }, status);
    },
    released(job) {
      metrics.running.dec({ type: job.type });
    },
  };
}

/** A failure that is tried again is `retrying`: only the last one is `failed`. */
function countedAs(
  outcome: Outcome['outcome'],
  verdict: Committed['verdict'],
  status: JobStatus | null,
): string {
  if (verdict === 'fenced') return 'fenced';
  if (outcome === 'handed_back') return 'handed-back';
  return outcome === 'failed' && status === 'PROCESS' ? 'retrying' : outcome;
}
