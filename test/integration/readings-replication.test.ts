import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startHaproxy } from '../../hack/services/haproxy.ts';
import { startPostgres, startStandby } from '../../hack/services/postgres.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { connectDatabase, type Database } from '../../src/ledger/database.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';
import { countReadings, seedMeters, windowTime } from '../support/readings.ts';
import { waitFor } from '../support/wait-for.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely
type Json = any;
const stops: (() => unknown)[] = [];
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'longshore-replication-'));
  chmodSync(folder, 0o755);
});
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A primary with a ledger and a standby that streams from it. */
async function startPair() {
  const quick = { settings: { wal_receiver_status_interval: '1s' }, maxConnections: 60, fsync: false };
  const primary = await startPostgres({ ...quick, dataDir: join(folder, 'primary') });
  stops.push(() => primary.stop());
  const ledger = await createTestLedger(['meter-readings'], primary.url);
  await seedMeters(ledger.db, 500);
  const standby = await startStandby(primary, {
    ...quick,
    dataDir: join(folder, 'standby'),
    name: 'standby',
  });
  stops.push(() => standby.stop());
  const onStandby = connect(withPort(ledger.url, standby.port));
  await waitFor(
    async () =>
      (await ledger.db.query(`select from pg_stat_replication where state = 'streaming'`)).rowCount === 1,
    { describe: 'the standby to stream' },
  );
  return { primary, standby, ledger, onStandby };
}

function connect(url: string): Database {
  const db = connectDatabase({ url, applicationName: 'test', logger: silentLogger });
  stops.push(() => db.end());
  return db;
}

function withPort(text: string, port: number): string {
  const url = new URL(text);
  url.port = String(port);
  return url.toString();
}

async function startApi(ledger: TestLedger, overrides: Parameters<typeof startTestApi>[1]): Promise<TestApi> {
  const api = await startTestApi(ledger, overrides);
  stops.push(() => api.stop());
  return api;
}

test('queries go to the read replica, what it has not yet to the ledger, and everything there while it is away', async () => {
  const { ledger, standby, onStandby } = await startPair();
  const api = await startApi(ledger, { postgresReadUrl: withPort(ledger.url, standby.port) });
  const send = (value: number) =>
    api.call('/v1/meter-readings', { json: { meterId: 'M-1', value, readAt: windowTime() } });
  const list = async () =>
    ((await (await api.call('/v1/meters/M-1/readings')).json()) as Json).readings.length;
  await send(1);
  await waitFor(async () => (await list()) === 1, { describe: 'the replica to follow' });
  await onStandby.query('select pg_wal_replay_pause()');
  await waitFor(
    async () => (await onStandby.query('select pg_get_wal_replay_pause_state() as s')).rows[0].s === 'paused',
    { describe: 'the replica to pause' },
  );
  const { id } = (await (await send(2)).json()) as Json;
  // The list is the replica's, which does not know it; the reading by itself is found where it is.
  expect(await list()).toBe(1);
  expect((await api.call(`/v1/meter-readings/${id}`)).status).toBe(200);
  await onStandby.query('select pg_wal_replay_resume()');
  await waitFor(async () => (await list()) === 2, { describe: 'the replica to follow' });
  await standby.kill();
  expect(await list()).toBe(2);
  expect((await send(3)).status).toBe(201);
  expect(await list()).toBe(3);
  await ledger.close();
}, 90_000);

test('the primary dies and its synchronous standby is promoted behind HAProxy: nothing acknowledged is lost, nothing is there twice', async () => {
  const { ledger, primary, standby, onStandby } = await startPair();
  await ledger.db.query(`alter system set synchronous_standby_names = 'standby'`);
  await ledger.db.query('select pg_reload_conf()');
  await waitFor(
    async () =>
      (await ledger.db.query(`select from pg_stat_replication where sync_state = 'sync'`)).rowCount === 1,
    { describe: 'the standby to be synchronous' },
  );
  const targets = [primary, standby].map(({ port }) => ({ host: '127.0.0.1', port }));
  const balancer = await startHaproxy({ dataDir: join(folder, 'haproxy'), targets });
  stops.push(() => balancer.stop());
  const behind = withPort(ledger.url, balancer.port);
  const api = await startApi({ ...ledger, url: behind }, {});
  const acknowledged = new Map<string, number>();
  const statuses = new Map<number, number>();
  let isEnding = false;

  /** A client that repeats each reading, with its key, until it is acknowledged. */
  async function client(first: number): Promise<void> {
    for (let n = first; !isEnding; n += 8) {
      for (;;) {
        const json = { meterId: `M-${(n % 500) + 1}`, value: n, readAt: windowTime() };
        const answer = await api
          .call('/v1/meter-readings', { json, headers: { 'Idempotency-Key': `n-${n}` } })
          .catch(() => null);
        const status = answer?.status ?? 0;
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        if (answer !== null && status < 300) {
          acknowledged.set(((await answer.json()) as Json).id, n);
          break;
        }
        await answer?.text();
        await sleep(100);
      }
    }
  }
  const clients = Array.from({ length: 8 }, (_, n) => client(n));
  await waitFor(() => acknowledged.size > 300, { describe: 'readings before the failure' });
  await primary.kill();
  await sleep(1_000);
  const before = acknowledged.size;
  await onStandby.query('select pg_promote()');
  await waitFor(() => acknowledged.size > before + 300, {
    timeoutMs: 30_000,
    describe: 'readings after the promotion',
  });
  isEnding = true;
  await Promise.all(clients);
  const { rows } = await onStandby.query<{ id: string }>('select id from meter_readings');
  const kept = new Set(rows.map(({ id }) => id));
  expect([...acknowledged.keys()].filter((id) => !kept.has(id))).toEqual([]);
  expect((await countReadings(onStandby)).readings).toBe(acknowledged.size);
  const noted = await onStandby.query('select sum(readings)::integer as n from meter_reading_batches');
  expect(noted.rows[0].n).toBe(acknowledged.size);
  expect(statuses.get(503)).toBeGreaterThan(0);
  await ledger.db.end().catch(() => {});
}, 120_000);
