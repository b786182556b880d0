import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startNginx } from '../../hack/services/nginx.ts';
import { freePort } from '../../hack/services/ports.ts';
import { DeathWatch } from '../../hack/stack/death-watch.ts';
import { type LongshoreProcess, startProcess, waitUntilReady } from '../../hack/stack/longshore-process.ts';
import { withTransaction } from '../../src/ledger/database.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';
import { seedMeters } from '../support/readings.ts';
import { waitFor } from '../support/wait-for.ts';

const METERS = 400;
const READINGS = 1_200;
const CLIENTS = 40;
/** What is acknowledged before the kill. */
const BEFORE_KILL = 150;
const FLOOD_TIMEOUT_MS = 30_000;
const VICTIM = 'api-1';

/** A replica a day ahead, as on the other side of midnight: a reading repeated there is another one, unless its key tells. */
const A_DAY_AHEAD = `--import=data:text/javascript,${encodeURIComponent('const { now } = Date; Date.now = () => now() + 86_400_000;')}`;

let watch: DeathWatch;
const replicas = new Map<string, LongshoreProcess>();
const stops: (() => Promise<unknown>)[] = [];
let folder: string;
let ledger: TestLedger | undefined;
let url: string;

beforeEach(async () => {
  watch = new DeathWatch();
  folder = mkdtempSync(join(tmpdir(), 'longshore-replicas-'));
  chmodSync(folder, 0o755);
  ledger = await createTestLedger(['meter-readings']);
  await seedMeters(ledger.db, METERS);
  const prefix = `t${randomBytes(4).toString('hex')}`;
  const targets = [await startReplica(VICTIM, ledger, { LONGSHORE_REDIS_PREFIX: prefix })];
  for (const name of ['api-2', 'api-3'])
    targets.push(
      await startReplica(name, ledger, { LONGSHORE_REDIS_PREFIX: prefix, NODE_OPTIONS: A_DAY_AHEAD }),
    );
  await Promise.all(
    [...replicas].map(([name, replica]) => waitUntilReady(name, replica, { logDir: folder, watch })),
  );
  const nginx = await startNginx({ dataDir: join(folder, 'nginx'), targets });
  stops.push(() => nginx.stop());
  url = nginx.url;
});
afterEach(async () => {
  watch.end();
  await Promise.allSettled(stops.splice(0).map((stop) => stop()));
  rmSync(folder, { recursive: true, force: true });
  await ledger?.close();
});

/** An API as a process of its own, whose sessions have its name; answers its URL. */
async function startReplica(
  name: string,
  { url: postgresUrl }: TestLedger,
  env: Record<string, string>,
): Promise<string> {
  const port = await freePort();
  const session = new URL(postgresUrl);
  session.searchParams.set('application_name', name);
  const replica = await startProcess({
    ...{ kind: 'api', name, logDir: folder, watch },
    env: {
      LONGSHORE_POSTGRES_URL: session.toString(),
      LONGSHORE_REDIS_URL: process.env.LONGSHORE_TEST_REDIS_URL ?? '',
      LONGSHORE_AUTH: 'off',
      LONGSHORE_API_HOST: '127.0.0.1',
      LONGSHORE_API_PORT: String(port),
      LONGSHORE_HEALTH_HOST: '127.0.0.1',
      LONGSHORE_KUBERNETES: 'off',
      ...env,
    },
  });
  stops.push(() => replica.child.kill());
  replicas.set(name, replica);
  return `http://127.0.0.1:${port}`;
}

interface Flood {
  /** Ids by the number of their reading. */
  acknowledged: Map<number, string>;
  /** How often each status was seen; `cut` are connections without an answer. */
  seen: Map<number | 'cut', number>;
}

/** Clients that repeat each reading, without a time of its own, under its key until they are told that it is durable. */
async function send({ acknowledged, seen }: Flood): Promise<void> {
  const signal = AbortSignal.timeout(FLOOD_TIMEOUT_MS);
  let next = 0;
  const client = async () => {
    for (let n = next++; n < READINGS; n = next++) {
      while (!acknowledged.has(n)) {
        const { status, text } = await post(n, signal);
        seen.set(status, (seen.get(status) ?? 0) + 1);
        if (isDurable(status)) acknowledged.set(n, (JSON.parse(text) as { id: string }).id);
        else if (status !== 'cut' && status !== 502 && status !== 503)
          throw new Error(`Reading ${n} was answered ${status}: ${text}`);
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

const isDurable = (status: number | 'cut') => status === 200 || status === 201 || status === 202;

async function post(n: number, signal: AbortSignal): Promise<{ status: number | 'cut'; text: string }> {
  try {
    const answer = await fetch(`${url}/v1/meter-readings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': `reading-${n}` },
      body: JSON.stringify({ meterId: `M-${(n % METERS) + 1}`, value: Math.floor(n / METERS) }),
      signal,
    });
    return { status: answer.status, text: await answer.text() };
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as { code?: string };
    if (!['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'UND_ERR_SOCKET'].includes(code ?? '')) throw error;
    return { status: 'cut', text: '' };
  }
}

/** Kills a replica whose readings are stored, but whose clients have no answer yet. */
async function killBetweenCommitAndAnswer({ db }: TestLedger, name: string): Promise<void> {
  const { pid, child } = replicas.get(name) as LongshoreProcess;
  const storing = async () =>
    (
      await db.query<{ isBlocked: boolean }>(
        `select wait_event_type is not distinct from 'Lock' as "isBlocked" from pg_stat_activity
          where datname = current_database() and application_name = $1 and state = 'active' and query like '/* store-readings */%'`,
        [name],
      )
    ).rows;
  await withTransaction(db, async (client) => {
    await client.query('lock table meter_reading_batches in exclusive mode');
    await waitFor(storing, (rows) => rows.some(({ isBlocked }) => isBlocked), {
      describe: `${name} to be about to store readings`,
    });
    process.kill(pid, 'SIGSTOP');
  });
  await waitFor(storing, (rows) => rows.length === 0, { describe: `the readings of ${name} to be stored` });
  await child.kill();
}

test('a replica that is killed under a flood loses no reading and makes no twins', async () => {
  const world = ledger as TestLedger;
  const flood: Flood = { acknowledged: new Map(), seen: new Map() };
  const kill = async () => {
    await waitFor(() => flood.acknowledged.size >= BEFORE_KILL, {
      describe: `${BEFORE_KILL} readings to be acknowledged`,
    });
    await killBetweenCommitAndAnswer(world, VICTIM);
    return flood.acknowledged.size;
  };
  const [atKill] = await watch.during(Promise.all([kill(), send(flood)]));
  console.info(`The victim died after ${atKill} of ${READINGS} readings; answers`, flood.seen);
  expect(atKill, 'acknowledged at the kill').toBeLessThan(READINGS);
  const { rows } = await world.db.query<{ id: string; day: string }>(
    'select id, day::text from meter_readings',
  );
  const stored = new Set(rows.map(({ id }) => id));
  const told = new Set(flood.acknowledged.values());
  expect({
    acknowledged: told.size,
    lost: [...told].filter((id) => !stored.has(id)),
    'stored, but not acknowledged': [...stored].filter((id) => !told.has(id)),
  }).toEqual({ acknowledged: READINGS, lost: [], 'stored, but not acknowledged': [] });
  expect(new Set(rows.map(({ day }) => day)).size, 'days of the replicas').toBe(2);
  expect(flood.seen.get(502) ?? 0, 'requests that died with the replica').toBeGreaterThan(0);
  expect(flood.seen.get(200) ?? 0, 'readings that it had stored, but not acknowledged').toBeGreaterThan(0);
}, 60_000);
