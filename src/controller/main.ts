import type { Config } from '../config/config.ts';
import { connectDatabase } from '../ledger/database.ts';
import { LeaderLock } from '../ledger/leader-lock.ts';
import { LedgerListener } from '../ledger/listener.ts';
import { waitForSchema } from '../ledger/migrate.ts';
import { HealthServer } from '../lifecycle/health-server.ts';
import { Shutdown } from '../lifecycle/shutdown.ts';
import { JobQueue } from '../queue/job-queue.ts';
import { createServiceMetrics } from '../telemetry/metrics.ts';
import { startTelemetry } from '../telemetry/process-telemetry.ts';
import { Controller } from './controller.ts';
import { Dispatcher } from './dispatcher.ts';
import { LedgerWindow } from './ledger-window.ts';

/** Runs a controller process until it is told to stop. Several may run: one leads. */
export async function runController(config: Config): Promise<void> {
  const telemetry = await startTelemetry('controller', config.log.level);
  const { logger, tracer } = telemetry;
  const shutdown = new Shutdown({ logger });
  shutdown.install();
  shutdown.add('telemetry', () => telemetry.stop());
  const health = new HealthServer({ ...config.health, logger, metrics: telemetry.renderMetrics });
  await health.start();
  shutdown.add('health', () => health.stop());
  health.addCheck('start', () => Promise.reject(new Error('The controller is starting')));

  const db = connectDatabase({
    url: config.postgres.url,
    applicationName: 'longshore-controller',
    maxConnections: config.postgres.poolSize,
    logger,
  });
  shutdown.add('postgresql', () => db.end());
  await waitForSchema(db, logger, shutdown.signal);
  const queue = new JobQueue({ redisUrl: config.redis.url, prefix: config.redis.prefix, logger });
  shutdown.add('redis', () => queue.close());
  const listener = new LedgerListener({ url: config.postgres.url, logger });
  listener.start();
  shutdown.add('listener', () => listener.stop());

  const dispatcher = new Dispatcher({ db, queue, logger, tracer });
  const { rounds } = createServiceMetrics(telemetry.registry, []);
  const controller = new Controller({
    db,
    queue,
    listener,
    dispatcher,
    window: new LedgerWindow({ db, dispatcher }),
    logger,
    windowSize: config.controller.window,
    leaseSeconds: config.worker.leaseSeconds,
    onRound: (service, { failed }) => rounds.inc({ service, outcome: failed ? 'failed' : 'ok' }),
  });
  const election = new LeaderLock({ url: config.postgres.url, logger });
  election.start((signal) => controller.lead(signal));
  shutdown.add('leadership', () => election.stop(), 10_000);
  shutdown.add('readiness', () => health.drain());
  health.addCheck('start', async () => {});
  health.addCheck('postgresql', () => db.query('select 1'));
  health.addCheck('redis', async () => {
    const problem = await queue.problem();
    if (problem !== null) throw new Error(problem);
  });
}
