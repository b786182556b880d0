import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandLineOf } from '../../hack/services/owner.ts';
import { startPostgres } from '../../hack/services/postgres.ts';
import { startRedis } from '../../hack/services/redis.ts';
import { withRedis } from '../support/redis.ts';
import { waitFor } from '../support/wait-for.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'longshore-services-'));
  chmodSync(folder, 0o755);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const isGone = (pid: number) => commandLineOf(pid) === undefined || commandLineOf(pid)?.includes('<defunct>');

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

test('PostgreSQL keeps its data over a stop, a crash and a new start; stopping leaves no process', async () => {
  const dataDir = join(folder, 'postgres');
  const first = await startPostgres({ dataDir });
  const pids = [first.pid];
  await query(first.url, 'CREATE TABLE kept AS SELECT 1 AS n');
  await first.kill();
  await expect(query(first.url, 'SELECT 1')).rejects.toThrow();
  await first.restart();
  pids.push(first.pid);
  expect(await query(first.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  await first.stop();
  // A pid file that names a stranger: this very process.
  writeFileSync(join(dataDir, 'data', 'postmaster.pid'), `${process.pid}\n`);
  const second = await startPostgres({ dataDir });
  pids.push(second.pid);
  expect(await query(second.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
  expect(await query(second.url, 'SHOW fsync')).toEqual([{ fsync: 'on' }]);
  const stranger = second.url.replace(/:[^:@/]+@/, ':wrong@');
  await expect(query(stranger, 'SELECT 1')).rejects.toThrow(/password/);
  await second.stop();
  for (const pid of pids) await waitFor(() => isGone(pid), { describe: `process ${pid} to be gone` });
});

test('Redis refuses to evict, keeps its data when asked to, and stops', async () => {
  const redis = await startRedis({ dataDir: join(folder, 'redis'), appendonly: true });
  const client = new Redis(redis.url);
  client.on('error', () => {});
  expect(await client.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
  await client.set('kept', '1');
  await redis.restart();
  await waitFor(async () => (await client.get('kept')) === '1', { describe: 'the key after the restart' });
  client.disconnect();
  const { pid } = redis;
  await redis.stop();
  await waitFor(() => isGone(pid), { describe: `process ${pid} to be gone` });
});

test('both end when the process that started them is killed', async () => {
  const source = `
    const { startPostgres } = await import(${JSON.stringify(new URL('../../hack/services/postgres.ts', import.meta.url).href)});
    const { startRedis } = await import(${JSON.stringify(new URL('../../hack/services/redis.ts', import.meta.url).href)});
    const postgres = await startPostgres({ dataDir: ${JSON.stringify(join(folder, 'killed-postgres'))}, fsync: false });
    const redis = await startRedis({ dataDir: ${JSON.stringify(join(folder, 'killed-redis'))} });
    console.log(JSON.stringify([postgres.pid, redis.pid]));
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const pids = JSON.parse(line.toString()) as number[];
  expect(pids.map((pid) => isGone(pid))).toEqual([false, false]);
  parent.kill('SIGKILL');
  for (const pid of pids) await waitFor(() => isGone(pid), { describe: `process ${pid} to be gone` });
});

test('a test has keys of its own, which are gone after it', async () => {
  const key = await withRedis(async ({ client, prefix }) => {
    await client.set(`${prefix}:a`, '1');
    return `${prefix}:a`;
  });
  await withRedis(async ({ client }) => expect(await client.exists(key)).toBe(0));
});
