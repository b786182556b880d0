import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { commandLineOf, makeOwnFolder, type Owner, serverOwner } from './owner.ts';
import { freePort } from './ports.ts';
import { findPgBasebackup, findPostgres } from './programs.ts';
import { withProgress } from './progress.ts';
import { type LocalServer, makeLogFile, type ServerOptions, startServer } from './server.ts';

const run = promisify(execFile);

export interface PostgresOptions extends ServerOptions {
  /** Off only for tests that do not mind losing data. Defaults to true. */
  fsync?: boolean;
  /** Defaults to 200. */
  maxConnections?: number;
  /** Further settings of the server. */
  settings?: Record<string, string>;
}

/**
 * A PostgreSQL of our own on 127.0.0.1, which ends with this process. Its URL is that of the owner `longshore` of the
 * database `longshore`, who is a superuser.
 */
export async function startPostgres(options: PostgresOptions): Promise<LocalServer> {
  const programs = await findPostgres();
  const owner = serverOwner();
  const dataDir = makeOwnFolder(resolve(options.dataDir), owner);
  const cluster = join(dataDir, 'data');
  const password = readPassword(dataDir, owner);
  if (!existsSync(join(cluster, 'PG_VERSION'))) {
    await withProgress('Creating the PostgreSQL cluster', () =>
      createCluster(programs.initdb, dataDir, cluster, owner),
    );
  }
  const port = options.port ?? (await freePort());
  const url = `postgres://longshore:${password}@127.0.0.1:${port}/longshore`;
  return startServer({
    name: 'PostgreSQL',
    url,
    port,
    command: programs.postgres,
    args: serverArguments(cluster, dataDir, port, options),
    stopSignal: 'INT',
    logFile: makeLogFile(dataDir, 'postgres.log', owner),
    owner,
    startTimeoutMs: 60_000,
    prepare: () => endLeftover(cluster),
    probe: () => createDatabase(url),
    onDeath: options.onDeath,
  });
}

/**
 * A standby that streams from `primary`, read-only until it is promoted. Its URL has the same login and databases.
 *
 * @param name - What the primary knows it by (`synchronous_standby_names`).
 */
export async function startStandby(
  primary: LocalServer,
  options: PostgresOptions & { name: string },
): Promise<LocalServer> {
  const owner = serverOwner();
  const dataDir = makeOwnFolder(resolve(options.dataDir), owner);
  const url = new URL(primary.url);
  const password = join(dataDir, 'password');
  writeFileSync(password, decodeURIComponent(url.password), { mode: 0o600 });
  if (owner !== undefined) chownSync(password, owner.uid, owner.gid);
  const source = new URL(url);
  source.pathname = '/';
  source.searchParams.set('application_name', options.name);
  const args = ['-d', source.href, '-D', join(dataDir, 'data'), '-R', '-X', 'stream', '-c', 'fast'];
  await run(await findPgBasebackup(), args, { ...owner, cwd: dataDir, timeout: 120_000 });
  return startPostgres(options);
}

function serverArguments(cluster: string, dataDir: string, port: number, options: PostgresOptions): string[] {
  // The path of a socket may have 107 bytes; without one TCP is enough.
  const socketFolder = Buffer.byteLength(dataDir) <= 80 ? dataDir : '';
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: socketFolder,
    max_connections: options.maxConnections ?? 200,
    ...(options.fsync === false ? { fsync: 'off', full_page_writes: 'off' } : {}),
    ...options.settings,
  };
  return ['-D', cluster, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
}

function readPassword(dataDir: string, owner: Owner | undefined): string {
  const file = join(dataDir, 'password');
  if (!existsSync(file)) writeFileSync(file, randomBytes(18).toString('base64url'), { mode: 0o600 });
  if (owner !== undefined) chownSync(file, owner.uid, owner.gid);
  return readFileSync(file, 'utf8').trim();
}

/** Made beside its place and moved there when complete, so that an interrupted one is never taken for a cluster. */
async function createCluster(
  initdb: string,
  dataDir: string,
  cluster: string,
  owner: Owner | undefined,
): Promise<void> {
  const draft = `${cluster}.new`;
  rmSync(draft, { recursive: true, force: true });
  const args = [
    '-D',
    draft,
    '-U',
    'longshore',
    '-E',
    'UTF8',
    '--locale=C',
    '--auth=scram-sha-256',
    `--pwfile=${join(dataDir, 'password')}`,
  ];
  await run(initdb, args, { ...owner, cwd: dataDir, timeout: 120_000 });
  renameSync(draft, cluster);
}

/**
 * A server that an earlier run left is ended; a pid file whose number now belongs to another process is removed,
 * because PostgreSQL would take that process for a server and refuse to start.
 */
async function endLeftover(cluster: string): Promise<void> {
  const file = join(cluster, 'postmaster.pid');
  if (!existsSync(file)) return;
  const pid = Number.parseInt(readFileSync(file, 'utf8'), 10);
  const isServer = () => Number.isInteger(pid) && (commandLineOf(pid)?.includes(cluster) ?? false);
  if (isServer()) process.kill(pid, 'SIGINT');
  const deadline = performance.now() + 10_000;
  while (isServer()) {
    if (performance.now() > deadline)
      throw new Error(`PostgreSQL (process ${pid}) of an earlier run did not end within 10 s`);
    await delay(50);
  }
  rmSync(file, { force: true });
}

/** Creates the database unless it is there. Answers what went wrong. */
async function createDatabase(url: string): Promise<string | undefined> {
  const maintenance = new URL(url);
  maintenance.pathname = '/postgres';
  const client = new pg.Client({ connectionString: maintenance.href, connectionTimeoutMillis: 2_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = 'longshore'");
    if (rowCount === 0) await client.query('CREATE DATABASE longshore');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    await client.end().catch(() => {});
  }
}
