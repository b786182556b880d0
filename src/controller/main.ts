import { hostname } from 'node:os';
import type { Config } from '../config/config.ts';
import { systemClock } from '../core/clock.ts';
import { uuidv7 } from '../core/ids.ts';
import type { Logger } from '../core/logger.ts';
import type { WebhookRules } from '../core/webhook-url.ts';
import { createKubeClient, type KubeClient } from '../kube/client.ts';
import { connectDatabase, type Database } from '../ledger/database.ts';
import { findJobType } from '../ledger/job-types.ts';
import { LeaderLock } from '../ledger/leader-lock.ts';
import { LedgerListener } from '../ledger/listener.ts';
import { waitForSchema } from '../ledger/migrate.ts';
import { readConnectionLimit } from '../ledger/worker-pools.ts';
import type { HealthServer } from '../lifecycle/health-server.ts';
import type { Shutdown } from '../lifecycle/shutdown.ts';
import { startProcess } from '../lifecycle/start-process.ts';
import { waitForDependency } from '../lifecycle/wait-for.ts';
import { JobQueue } from '../queue/job-queue.ts';
import { startTelemetry } from '../telemetry/process-telemetry.ts';
import { SHIPPED_TYPES } from '../types/registry.ts';
import { TypeCatalogue } from '../types/type-catalogue.ts';
import { createBackgroundServices } from './background-services.ts';
import { Cluster } from './cluster.ts';
import { Controller } from './controller.ts';
import { Dispatcher } from './dispatcher.ts';
import { type Election, LeaseElection, leadTogether } from './election.ts';
import { LedgerWindow } from './ledger-window.ts';
import { type ControllerMetrics, createControllerMetrics } from './metrics.ts';
import { type PoolSurroundings, readPoolSettings } from './pools/settings.ts';
import type { PoolOptions } from './pools/worker-pools.ts';
import { startScaler } from './scaler.ts';
import type { WebhookSettings } from './webhooks.ts';

/** Connections to the API server for calls: as many as QueueJobs are made at once. */
const KUBE_CONNECTIONS = 16;
/** A leader ends what it does before it gives leadership away. */
const LEADERSHIP_TIMEOUT_MS = 15_000;

/** What the parts of the process are made from. */
interface Base {
  config: Config;
  logger: Logger;
  metrics: ControllerMetrics;
  db: Database;
  dispatcher: Dispatcher;
  listener: LedgerListener;
  shutdown: Shutdown;
  health: HealthServer;
}

/**
 * Runs a controller process until it is told to stop; several may run, one leads. With `config.kubernetes.mode` on, jobs
 * are shown by QueueJobs and a Lease elects; otherwise they go straight onto their queues and an advisory lock does.
 */
export async function runController(config: Config): Promise<void> {
  const telemetry = await startTelemetry('controller', config.log.level);
  const { logger, tracer } = telemetry;
  const metrics = createControllerMetrics(telemetry.registry);
  const { shutdown, health } = await startProcess({ name: 'controller', health: config.health, telemetry });

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
  const base: Base = { config, logger, metrics, db, dispatcher, listener, shutdown, health };
  const { cluster, election } =
    config.kubernetes.mode === 'on'
      ? await joinCluster(base)
      : { election: new LeaderLock({ url: config.postgres.url, logger }) };
  const types = createTypes(db);
  const controller = new Controller({
    db,
    queue,
    listener,
    dispatcher,
    window: cluster?.window ?? new LedgerWindow({ db, dispatcher }),
    logger,
    windowSize: config.controller.window,
    leaseSeconds: config.worker.leaseSeconds,
    onRound: metrics.onRound,
    services: createBackgroundServices({
      db,
      logger,
      clock: systemClock,
      types,
      retention: config.retention,
      webhooks: webhookSettings(base),
      leaseSeconds: config.worker.leaseSeconds,
      windowSize: config.controller.window,
      ...metrics,
    }),
  });
  election.start((signal) => leadTogether(signal, [controller, ...(cluster === undefined ? [] : [cluster])]));
  shutdown.add('leadership', () => election.stop(), LEADERSHIP_TIMEOUT_MS);
  shutdown.add('readiness', () => health.drain());
  addChecks(base, queue);
  health.addCheck('start', async () => {});
  logger.info({ kubernetes: config.kubernetes.mode }, 'Controller started');
}

/** Readiness names what is missing: PostgreSQL, or a Redis that is away or evicts. */
function addChecks({ health, db }: Base, queue: JobQueue): void {
  health.addCheck('postgresql', () => db.query('select 1'));
  health.addCheck('redis', async () => {
    const problem = await queue.problem();
    if (problem !== null) throw new Error(problem);
  });
}

function createTypes(db: Database): TypeCatalogue {
  return new TypeCatalogue({
    shipped: SHIPPED_TYPES,
    find: (namespace, name) => findJobType(db, namespace, name),
    clock: systemClock,
  });
}

function webhookRules(config: Config): WebhookRules {
  const { allowPrivate } = config.webhooks;
  return { allowInsecure: allowPrivate, allowPrivate, canSign: secretsOf(config).length > 0 };
}

/** Without a secret nobody can ask for a webhook; those that were asked for before wait for it. */
function webhookSettings({ config, logger }: Base): WebhookSettings {
  const secrets = secretsOf(config);
  if (secrets.length === 0)
    logger.warn({ variable: 'LONGSHORE_WEBHOOK_SECRET' }, 'Found no secret: jobs with a webhook are refused');
  return { secrets, policy: webhookRules(config) };
}

/** The secret, or while it is exchanged the new and the old one, with a comma between them. */
function secretsOf({ webhooks }: Config): string[] {
  return webhooks.secret.split(',').filter((secret) => secret !== '');
}

/** Connects to the API server and has seen what it holds when it resolves, so that whoever is elected can begin. */
async function joinCluster(base: Base): Promise<{ cluster: Cluster; election: Election }> {
  const { config, logger, metrics, db, dispatcher, listener, shutdown, health } = base;
  await serveScaler(base);
  const { kubeconfig } = config.kubernetes;
  const { watchNamespace } = config.pools;
  const client = createKubeClient({
    ...(kubeconfig === '' ? {} : { kubeconfigPath: kubeconfig }),
    fieldManager: 'longshore-controller',
    connections: KUBE_CONNECTIONS,
    onRequest: metrics.onKubeRequest,
  });
  shutdown.add('kubernetes', () => client.close());
  await waitForKubernetes(client, base);
  const cluster: Cluster = new Cluster({
    client,
    db,
    dispatcher,
    listener,
    types: createTypes(db),
    webhooks: webhookRules(config),
    logger,
    pools: poolOptions(config, db),
    ...(watchNamespace === '' ? {} : { namespace: watchNamespace }),
    onReflectorEvent: metrics.onReflectorEvent,
    onRound: (service, round) => {
      metrics.onRound(service, round);
      metrics.setObjects(cluster.sizes);
    },
  });
  cluster.start();
  shutdown.add('reflectors', () => cluster.stop());
  health.addCheck('kubernetes', async () => {
    if (!cluster.isSynced) throw new Error('QueueJobs and JobSchedules have not been read yet');
  });
  await cluster.waitForSync(shutdown.signal);
  return { cluster, election: leaseElection(client, base) };
}

/** A certificate is its own authority where no other is known. */
function trustedByKeda({ scaler: { tlsCertFile, tlsCaFile } }: Config): string {
  return tlsCertFile === '' ? '' : tlsCaFile || tlsCertFile;
}

/** How pools are made, from the settings of this process. */
function poolOptions(config: Config, db: Database): PoolOptions {
  const { defaultPoolsFile, connectionLimit, connectionReserve } = config.pools;
  const surroundings: PoolSurroundings = {
    ...config.pools,
    postgresUrl: config.postgres.workerUrl,
    redis: config.redis,
    scalerCaFile: trustedByKeda(config),
    podNamespace: config.kubernetes.podNamespace,
    worker: config.worker,
    providers: config.providers,
    logLevel: config.log.level,
  };
  const login = decodeURIComponent(URL.parse(config.postgres.workerUrl)?.username ?? '');
  const fixed = { available: connectionLimit, source: 'LONGSHORE_WORKER_CONNECTION_LIMIT' };
  const shipped = new Set(SHIPPED_TYPES.map((type) => type.name));
  return {
    settings: () => readPoolSettings(surroundings, process.env),
    connections: async () =>
      connectionLimit > 0 ? fixed : readConnectionLimit(db, login, connectionReserve),
    isShipped: (type) => shipped.has(type),
    ...(defaultPoolsFile === '' ? {} : { defaultPoolsFile }),
  };
}

/** Before there is a leader: KEDA takes a ScaledObject whose scaler answers, and drops pushes to one that did not. */
async function serveScaler({ config, logger, metrics, db, listener, shutdown }: Base): Promise<void> {
  const scaler = await startScaler({ settings: config.scaler, db, listener, logger, metrics });
  shutdown.add('scaler', () => scaler.stop());
}

/** Kubernetes may start later than this process, and its kinds later still. */
async function waitForKubernetes(client: KubeClient, { logger, shutdown }: Base): Promise<void> {
  const path = '/apis/longshore.dev/v1alpha1';
  const probe = (signal: AbortSignal) => client.request({ method: 'GET', path, signal });
  await waitForDependency('Kubernetes and the kinds of Longshore', probe, {
    logger,
    signal: shutdown.signal,
  });
}

function leaseElection(client: KubeClient, { config, logger, shutdown }: Base): Election {
  const { podName, podNamespace } = config.kubernetes;
  const { electionLeaseSeconds, electionRenewSeconds, electionRetrySeconds } = config.controller;
  return new LeaseElection({
    client,
    namespace: podNamespace,
    identity: `${podName === '' ? hostname() : podName}_${uuidv7()}`,
    leaseSeconds: electionLeaseSeconds,
    renewSeconds: electionRenewSeconds,
    retrySeconds: electionRetrySeconds,
    logger,
    onLost: () => void shutdown.run('The election lease was lost', 1),
  });
}
