import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { findKubeAssets, type LocalApiserver, startLocalApiserver } from '../kube/local-apiserver.ts';
import type { ChildEnd } from '../services/child.ts';
import { freePort } from '../services/ports.ts';
import { startPostgres } from '../services/postgres.ts';
import { withProgress } from '../services/progress.ts';
import { startRedis } from '../services/redis.ts';
import { tailOf } from '../services/server.ts';
import { DeathWatch } from './death-watch.ts';
import { type LongshoreProcess, startProcess, waitUntilReady } from './longshore-process.ts';
import { runCli } from './run-cli.ts';
import { readSecrets, type Secrets, writeEnvironment } from './secrets.ts';

/**
 * What the processes run with. Compiling the sources is done once and kept, and the heap is bounded: V8 would rather grow
 * than collect on a machine with much memory.
 */
const HEAP_OPTIONS = '--max-old-space-size=128 --max-semi-space-size=8';

const ROOT = resolve(import.meta.dirname, '../..');
const HOST = '127.0.0.1';

export interface StackOptions {
  /** Everything that is kept between two runs. */
  dataDir: string;
  /** `apiserver`: with a local kube-apiserver, so that every job is a QueueJob too. Defaults to `off`. */
  kubernetes?: 'off' | 'apiserver';
  /** Defaults to `off`: whoever can reach 127.0.0.1 may do everything. */
  auth?: 'off' | 'keys';
  /** Taken when it is free. Defaults to any free one. */
  preferredPort?: number;
  /** How many of each process. Defaults to one. */
  replicas?: { api?: number; controller?: number; worker?: number };
  /** Further settings of all processes. */
  env?: Record<string, string>;
  /** Called with every log line of a process. */
  onLine?(process: string, line: string): void;
}

/** Longshore as processes of this machine. */
export interface Stack {
  apiUrl: string;
  /** An admin key; null when none is needed. */
  apiKey: string | null;
  kubeconfigPath: string | null;
  postgresUrl: string;
  redisUrl: string;
  /** Pids and health addresses, by name such as `worker-1`. */
  processes: ReadonlyMap<string, LongshoreProcess>;
  /** File to source for `longshore` and for a worker of one's own. */
  envFile: string;
  /** Starts one more worker, and waits until it is ready. Answers its name. */
  startWorker(env?: Record<string, string>): Promise<string>;
  /** SIGKILL to a process, and the same again with the same port and settings; resolves when it is ready. */
  crash(name: string): Promise<void>;
  /** Every API, also those that `apiUrl` does not name. */
  apiUrls: readonly string[];
  /** Answers as `work` does, but rejects as soon as a program dies that nobody stopped, and says all about it. */
  during<T>(work: Promise<T>): Promise<T>;
  stop(): Promise<void>;
}

/** What is under way, while the stack is put together. */
interface Running {
  watch: DeathWatch;
  stops: (() => Promise<unknown>)[];
  stop(): Promise<void>;
}

/** Starts PostgreSQL, Redis, optionally a kube-apiserver, and Longshore's processes; stops them all when one fails to start. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const watch = new DeathWatch();
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    watch.end();
    for (const end of stops.splice(0).reverse()) await end();
  };
  try {
    return await assemble(options, { watch, stops, stop });
  } catch (error) {
    await stop();
    throw error;
  }
}

async function assemble(options: StackOptions, running: Running): Promise<Stack> {
  const { watch, stops, stop } = running;
  const dataDir = resolve(options.dataDir);
  const logDir = join(dataDir, 'logs');
  mkdirSync(logDir, { recursive: true });
  const secrets = readSecrets(join(dataDir, 'secrets.json'));

  const [postgres, redis, apiserver] = await startServices(options, dataDir, running);
  const workerUrl = await prepareLedger(postgres.url, secrets, watch.signal);
  if (apiserver !== null) await applyCrds(apiserver);

  const stores = {
    LONGSHORE_POSTGRES_URL: postgres.url,
    LONGSHORE_WORKER_POSTGRES_URL: workerUrl,
    LONGSHORE_REDIS_URL: redis.url,
    LONGSHORE_HEALTH_HOST: HOST,
  };
  const common = {
    ...stores,
    LONGSHORE_AUTH: options.auth ?? 'off',
    LONGSHORE_WORKER_POOL_SECRET: secrets.pool,
    LONGSHORE_WEBHOOK_SECRET: secrets.webhook,
    LONGSHORE_API_HOST: HOST,
    NODE_OPTIONS: HEAP_OPTIONS,
    NODE_COMPILE_CACHE: join(dataDir, 'compile-cache'),
    ...(apiserver === null
      ? {}
      : {
          LONGSHORE_KUBERNETES: 'on',
          LONGSHORE_KUBECONFIG: apiserver.kubeconfigPath,
          LONGSHORE_SCALER_PORT: '0',
        }),
    ...options.env,
  };
  await runCli(['pool', 'create', 'default'], common, watch.signal);
  const apiKey =
    options.auth === 'keys' ? await createKey(join(dataDir, 'api-key'), common, watch.signal) : null;

  const processes = new Map<string, LongshoreProcess>();
  const again = new Map<string, () => Promise<LongshoreProcess>>();
  const start = async (kind: string, name: string, env: Record<string, string> = {}) => {
    again.set(name, () => start(kind, name, env));
    const started = await startProcess({
      ...{ kind, name, logDir, watch, onLine: options.onLine },
      env: { ...common, ...env },
    });
    stops.push(() => started.child.stop(30_000));
    processes.set(name, started);
    return started;
  };
  const apiPort = await choosePort(options.preferredPort);
  const { api = 1, controller = 1, worker = 1 } = options.replicas ?? {};
  const apiUrls: string[] = [];
  for (let n = 1; n <= api; n += 1) {
    const port = n === 1 ? apiPort : await freePort();
    apiUrls.push(`http://${HOST}:${port}`);
    await start('api', numbered('api', n, api), { LONGSHORE_API_PORT: String(port) });
  }
  for (let n = 1; n <= controller; n += 1) await start('controller', numbered('controller', n, controller));
  for (let n = 1; n <= worker; n += 1) await start('worker', numbered('worker', n, worker));
  await withProgress('Starting Longshore', () =>
    Promise.all([...processes].map(([name, started]) => waitUntilReady(name, started, { logDir, watch }))),
  );
  const apiUrl = `http://${HOST}:${apiPort}`;
  const envFile = join(dataDir, 'env');
  writeEnvironment(envFile, {
    ...stores,
    LONGSHORE_WORKER_POOL: 'own',
    LONGSHORE_WORKER_POOL_SECRET: secrets.ownPool,
    API_URL: apiUrl,
    ...(apiKey === null ? {} : { API_KEY: apiKey }),
  });
  return {
    apiUrl,
    apiUrls,
    apiKey,
    async crash(name) {
      await processes.get(name)?.child.kill();
      const started = await again.get(name)?.();
      if (started === undefined) throw new Error(`There is no process ${name}`);
      await waitUntilReady(name, started, { logDir, watch });
    },
    kubeconfigPath: apiserver?.kubeconfigPath ?? null,
    postgresUrl: postgres.url,
    redisUrl: redis.url,
    processes,
    envFile,
    async startWorker(env) {
      const name = `worker-${processes.size + 1}`;
      await waitUntilReady(name, await start('worker', name, env), { logDir, watch });
      return name;
    },
    during: (work) => watch.during(work),
    stop,
  };
}

async function startServices(options: StackOptions, dataDir: string, { watch, stops }: Running) {
  const started = <S extends { stop(): Promise<unknown> }>(service: S): S => {
    stops.push(() => service.stop());
    return service;
  };
  const died = (name: string, logFile: string) => (end: ChildEnd) =>
    watch.report({ name, end, logFile, lastLines: tailOf(logFile) });
  const [postgresDir, redisDir] = [join(dataDir, 'postgres'), join(dataDir, 'redis')];
  const outcomes = await Promise.allSettled([
    startPostgres({
      dataDir: postgresDir,
      onDeath: died('PostgreSQL', join(postgresDir, 'postgres.log')),
    }).then(started),
    startRedis({
      dataDir: redisDir,
      appendonly: true,
      onDeath: died('Redis', join(redisDir, 'redis.log')),
    }).then(started),
    options.kubernetes === 'apiserver'
      ? startLocalApiserver({
          dataDir: join(dataDir, 'kube'),
          detached: true,
          onDeath: (program, end, logFile) => died(program, logFile)(end),
        }).then(started)
      : null,
  ]);
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  const [postgres, redis, apiserver] = outcomes;
  return [value(postgres), value(redis), value(apiserver)] as const;
}

function value<T>(outcome: PromiseSettledResult<T>): T {
  if (outcome.status === 'rejected') throw outcome.reason;
  return outcome.value;
}

/** Migrates, and makes the login of the workers. Answers its URL. */
async function prepareLedger(ownerUrl: string, secrets: Secrets, signal: AbortSignal): Promise<string> {
  await runCli(['migrate'], { LONGSHORE_MIGRATE_POSTGRES_URL: ownerUrl }, signal);
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    const { rows } = await client.query(
      "select format('%I login password %L in role longshore_worker', 'longshore_demo_worker', $1::text) as role, exists (select from pg_roles where rolname = 'longshore_demo_worker') as there",
      [secrets.workerPassword],
    );
    if (rows[0].there === false) await client.query(`create role ${rows[0].role}`);
  } finally {
    await client.end();
  }
  const url = new URL(ownerUrl);
  url.username = 'longshore_demo_worker';
  url.password = secrets.workerPassword;
  return url.toString();
}

async function applyCrds(apiserver: LocalApiserver): Promise<void> {
  const kubectl = join(await findKubeAssets(), 'kubectl');
  const args = [
    '--kubeconfig',
    apiserver.kubeconfigPath,
    'apply',
    '--server-side',
    '-f',
    join(ROOT, 'k8s/crds'),
  ];
  await promisify(execFile)(kubectl, args, { timeout: 60_000 });
}

async function createKey(file: string, env: Record<string, string>, signal: AbortSignal): Promise<string> {
  if (existsSync(file)) return readFileSync(file, 'utf8');
  const token = await runCli(['api-key', 'create', 'local', '--scopes', 'submit,read,admin'], env, signal);
  writeFileSync(file, token, { mode: 0o600 });
  return token;
}

function numbered(kind: string, n: number, count: number): string {
  return count === 1 ? kind : `${kind}-${n}`;
}

async function choosePort(preferred: number | undefined): Promise<number> {
  if (preferred === undefined) return freePort();
  const isFree = await new Promise<boolean>((resolvePort) => {
    const server = createServer()
      .once('error', () => resolvePort(false))
      .once('listening', () => server.close(() => resolvePort(true)))
      .listen(preferred, '127.0.0.1');
  });
  return isFree ? preferred : freePort();
}
