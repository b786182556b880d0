import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  type WriteStream,
  writeFileSync,
} from 'node:fs';
import { setPriority } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { findKubeAssets, type LocalApiserver, startLocalApiserver } from '../kube/local-apiserver.ts';
import { type Child, startChild } from '../services/child.ts';
import { freePort } from '../services/ports.ts';
import { startPostgres } from '../services/postgres.ts';
import { withProgress } from '../services/progress.ts';
import { startRedis } from '../services/redis.ts';

/**
 * What the processes run with. Compiling the sources is done once and kept, and the heap is bounded: V8 would rather grow
 * than collect on a machine with much memory.
 */
const HEAP_OPTIONS = '--max-old-space-size=128 --max-semi-space-size=8';

const NICENESS: Record<string, number> = { controller: 10, worker: 19 };

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const CLI = join(ROOT, 'src/cli/main.ts');

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
  processes: ReadonlyMap<string, { pid: number; healthUrl: string; child: Child }>;
  /** Starts one more worker, and waits until it is ready. Answers its name. */
  startWorker(env?: Record<string, string>): Promise<string>;
  stop(): Promise<void>;
}

interface Secrets {
  pool: string;
  workerPassword: string;
  webhook: string;
}

/** Starts PostgreSQL, Redis, optionally a kube-apiserver, and Longshore's processes; stops them all when one fails to start. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  try {
    return await assemble(options, stops, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function assemble(
  options: StackOptions,
  stops: (() => Promise<unknown>)[],
  stop: () => Promise<void>,
): Promise<Stack> {
  const dataDir = resolve(options.dataDir);
  const logDir = join(dataDir, 'logs');
  mkdirSync(logDir, { recursive: true });
  const secrets = readSecrets(join(dataDir, 'secrets.json'));

  const [postgres, redis, apiserver] = await startServices(options, dataDir, stops);
  const workerUrl = await prepareLedger(postgres.url, secrets);
  if (apiserver !== null) await applyCrds(apiserver);

  const host = '127.0.0.1';
  const common = {
    LONGSHORE_POSTGRES_URL: postgres.url,
    LONGSHORE_WORKER_POSTGRES_URL: workerUrl,
    LONGSHORE_REDIS_URL: redis.url,
    LONGSHORE_AUTH: options.auth ?? 'off',
    LONGSHORE_WORKER_POOL_SECRET: secrets.pool,
    LONGSHORE_WEBHOOK_SECRET: secrets.webhook,
    LONGSHORE_API_HOST: host,
    LONGSHORE_HEALTH_HOST: host,
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
  await runCli(['pool', 'create', 'default'], common);
  const apiKey = options.auth === 'keys' ? await createKey(join(dataDir, 'api-key'), common) : null;

  const processes = new Map<string, { pid: number; healthUrl: string; child: Child }>();
  const start = async (kind: string, name: string, env: Record<string, string> = {}) => {
    const healthPort = await freePort();
    const log = createWriteStream(join(logDir, `${name}.log`), { flags: 'a' });
    const child = await startChild({
      command: process.execPath,
      args: [CLI, kind],
      stopSignal: 'TERM',
      logFile: join(logDir, `${name}.err.log`),
      env: { ...common, ...env, LONGSHORE_HEALTH_PORT: String(healthPort) },
      onLine: (line) => writeLine(log, options, name, line),
    });
    stops.push(() => child.stop(30_000));
    // On one machine the work must not make the people wait who submit it; in a cluster this is what CPU requests are for.
    setPriority(child.pid, NICENESS[kind] ?? 0);
    processes.set(name, { pid: child.pid, healthUrl: `http://${host}:${healthPort}`, child });
  };
  const apiPort = await choosePort(options.preferredPort);
  const { api = 1, controller = 1, worker = 1 } = options.replicas ?? {};
  for (let n = 1; n <= api; n += 1) {
    const port = n === 1 ? apiPort : await freePort();
    await start('api', numbered('api', n, api), { LONGSHORE_API_PORT: String(port) });
  }
  for (let n = 1; n <= controller; n += 1) await start('controller', numbered('controller', n, controller));
  for (let n = 1; n <= worker; n += 1) await start('worker', numbered('worker', n, worker));
  await withProgress('Starting Longshore', () =>
    Promise.all([...processes].map(([name, process]) => waitUntilReady(name, process, logDir))),
  );
  return {
    apiUrl: `http://${host}:${apiPort}`,
    apiKey,
    kubeconfigPath: apiserver?.kubeconfigPath ?? null,
    postgresUrl: postgres.url,
    redisUrl: redis.url,
    processes,
    async startWorker(env) {
      const name = `worker-${processes.size + 1}`;
      await start('worker', name, env);
      await waitUntilReady(name, processes.get(name) as { healthUrl: string; child: Child }, logDir);
      return name;
    },
    stop,
  };
}

async function startServices(options: StackOptions, dataDir: string, stops: (() => Promise<unknown>)[]) {
  const started = <S extends { stop(): Promise<unknown> }>(service: S): S => {
    stops.push(() => service.stop());
    return service;
  };
  const outcomes = await Promise.allSettled([
    startPostgres({ dataDir: join(dataDir, 'postgres') }).then(started),
    startRedis({ dataDir: join(dataDir, 'redis'), appendonly: true }).then(started),
    options.kubernetes === 'apiserver'
      ? startLocalApiserver({ dataDir: join(dataDir, 'kube'), detached: true }).then(started)
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
async function prepareLedger(ownerUrl: string, secrets: Secrets): Promise<string> {
  await runCli(['migrate'], { LONGSHORE_MIGRATE_POSTGRES_URL: ownerUrl });
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

/** Runs a command of the CLI to its end; rejects with what it printed. */
export async function runCli(args: readonly string[], env: Record<string, string>): Promise<string> {
  const options = { env: { ...process.env, ...env }, timeout: 120_000 };
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, ...args], options).catch((error) => {
    throw new Error(
      `"longshore ${args.join(' ')}" failed:\n${error.stdout ?? ''}${error.stderr ?? error.message}`,
    );
  });
  return stdout.trim();
}

async function createKey(file: string, env: Record<string, string>): Promise<string> {
  if (existsSync(file)) return readFileSync(file, 'utf8');
  const token = await runCli(['api-key', 'create', 'local', '--scopes', 'submit,read,admin'], env);
  writeFileSync(file, token, { mode: 0o600 });
  return token;
}

function readSecrets(file: string): Secrets {
  if (!existsSync(file)) {
    const secret = () => randomBytes(24).toString('base64url');
    const made: Secrets = { pool: secret(), workerPassword: secret(), webhook: secret() };
    writeFileSync(file, JSON.stringify(made), { mode: 0o600 });
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Secrets;
}

function writeLine(log: WriteStream, options: StackOptions, name: string, line: string): void {
  log.write(`${line}\n`);
  options.onLine?.(name, line);
}

function numbered(kind: string, n: number, count: number): string {
  return count === 1 ? kind : `${kind}-${n}`;
}

async function choosePort(preferred: number | undefined): Promise<number> {
  if (preferred === undefined) return freePort();
  const { createServer } = await import('node:net');
  const isFree = await new Promise<boolean>((resolvePort) => {
    const server = createServer()
      .once('error', () => resolvePort(false))
      .once('listening', () => server.close(() => resolvePort(true)))
      .listen(preferred, '127.0.0.1');
  });
  return isFree ? preferred : freePort();
}

const READY_TIMEOUT_MS = 60_000;

async function waitUntilReady(
  name: string,
  { healthUrl, child }: { healthUrl: string; child: Child },
  logDir: string,
): Promise<void> {
  const startedAtMs = performance.now();
  let missing = 'it does not answer';
  while (performance.now() - startedAtMs < READY_TIMEOUT_MS) {
    if (child.hasExited()) break;
    const answer = await fetch(`${healthUrl}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(
      () => null,
    );
    if (answer?.status === 200) return;
    if (answer !== null) missing = await answer.text();
    await sleep(50);
  }
  const state = child.hasExited() ? 'has ended' : `is not ready: ${missing}`;
  throw new Error(`${name} ${state}; see ${join(logDir, `${name}.log`)} and ${name}.err.log`);
}
