import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SEED_PAIRS } from '../../src/types/exchange-rate/seed.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const SERVER = process.env.LONGSHORE_TEST_POSTGRES_URL ?? '';
const name = randomUUID().slice(0, 8);
const database = `longshore_migrate_${name}`;
const login = `longshore migrate "${name}"`;

async function sql(text: string, url = SERVER): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

function url(user?: string, password?: string): string {
  const result = new URL(SERVER);
  result.pathname = `/${database}`;
  if (user !== undefined) result.username = encodeURIComponent(user);
  if (password !== undefined) result.password = encodeURIComponent(password);
  return result.href;
}

async function longshore(args: string[], env: Record<string, string> = {}): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH, LONGSHORE_POSTGRES_URL: url(), ...env },
    timeout: 60_000,
  });
  return stdout;
}

beforeAll(async () => {
  await sql(`create database ${database}`);
});

afterAll(async () => {
  await sql(`drop database if exists ${database} with (force)`);
  await sql(`drop role if exists "${login.replaceAll('"', '""')}"`);
});

test('migrates as the login of API and controller where none of its own is given', async () => {
  expect(await longshore(['migrate'])).toContain('Migrated the ledger');
  expect(await longshore(['migrate'])).toContain('Found the ledger up to date');
});

test('makes the login of workers, with whatever characters, and changes its password', async () => {
  for (const password of ["o'clock", 'half past "%s"']) {
    await longshore(['migrate', '--worker-login'], { LONGSHORE_WORKER_POSTGRES_URL: url(login, password) });
    const [role] = await sql(
      `select rolcanlogin, rolsuper, rolpassword from pg_authid where rolname = '${login}'`,
    );
    expect(role).toMatchObject({ rolcanlogin: true, rolsuper: false });
    expect(role?.rolpassword).toMatch(/^SCRAM-SHA-256\$/);
    const [seen] = await sql(
      'select longshore.schema_version() > 0 as works, current_user as me',
      url(login, password),
    );
    expect(seen).toEqual({ works: true, me: login });
  }
  await expect(sql('select from longshore.jobs', url(login, 'half past "%s"'))).rejects.toThrow(
    'permission denied',
  );
});

test('says what is missing', async () => {
  await expect(longshore(['migrate', '--worker-login'])).rejects.toThrow(
    'LONGSHORE_WORKER_POSTGRES_URL: is not set',
  );
  await expect(longshore(['migrate', '--admin-key', 'shop'])).rejects.toThrow(
    'LONGSHORE_ADMIN_API_KEY: is not set',
  );
  await expect(
    longshore(['migrate', '--admin-key', 'shop'], { LONGSHORE_ADMIN_API_KEY: 'secret' }),
  ).rejects.toThrow('LONGSHORE_ADMIN_API_KEY: the value (not shown: it is secret) is not allowed');
});

test('tracks the usual rates at the first start, and what is tracked stays', async () => {
  await longshore(['migrate', '--seed-rates', 'shop']);
  const read = () =>
    sql(`select count(*)::integer as pairs from longshore.trade_info where namespace = 'shop'`, url());
  expect(await read()).toEqual([{ pairs: SEED_PAIRS.length }]);
  await longshore(['rates', 'remove', 'binance', 'BTC-USDT', '--namespace', 'shop']);
  await longshore(['migrate', '--seed-rates', 'shop']);
  expect(await read()).toEqual([{ pairs: SEED_PAIRS.length - 1 }]);
});

test('makes the first key once, and does not revive it', async () => {
  const key = (await longshore(['api-key', 'generate'])).trim();
  const make = () => longshore(['migrate', '--admin-key', 'shop'], { LONGSHORE_ADMIN_API_KEY: key });
  const output = await make();
  expect(output).not.toContain(key.slice(-20));
  const read = () =>
    sql('select id, namespace, scopes, revoked_at is not null as revoked from longshore.api_keys', url());
  const id = key.slice(4, 20);
  expect(await read()).toEqual([{ id, namespace: 'shop', scopes: ['admin'], revoked: false }]);
  await longshore(['api-key', 'revoke', id]);
  await make();
  expect(await read()).toEqual([{ id, namespace: 'shop', scopes: ['admin'], revoked: true }]);
});
