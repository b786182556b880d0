import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ReadingSpool } from '../../src/api/reading-spool.ts';
import type { SpoolEntry } from '../../src/api/spooled-keys.ts';
import { uuidv7 } from '../../src/core/ids.ts';
import { silentLogger } from '../../src/core/logger.ts';
import type { NewReading } from '../../src/core/meter-reading.ts';
import { withTransaction } from '../../src/ledger/database.ts';
import { getReading } from '../../src/ledger/meter-readings.ts';
import { storeReadings } from '../../src/ledger/store-readings.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';
import { PgFaultProxy } from '../support/pg-fault-proxy.ts';
import { countReadings, newReading, seedMeters, windowTime } from '../support/readings.ts';
import { waitFor } from '../support/wait-for.ts';

const METERS = 3_000;
const OUTAGE_MS = 30_000;

let ledger: TestLedger;
let proxy: PgFaultProxy;
let folder: string;
const stops: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  ledger = await createTestLedger(['meter-readings']);
  await seedMeters(ledger.db, METERS);
});
afterAll(() => ledger.close());
beforeEach(async () => {
  proxy = await PgFaultProxy.start(ledger.url);
  folder = await mkdtemp(join(tmpdir(), 'longshore-spool-'));
  await ledger.db.query('truncate meter_readings, meter_reading_batches, meter_reading_keys');
});
afterEach(async () => {
  proxy.up();
  for (const stop of stops.splice(0).toReversed()) await stop();
  await proxy.close();
  await rm(folder, { recursive: true, force: true });
});

type Overrides = NonNullable<Parameters<typeof startTestApi>[1]>;

/** An API whose ledger is behind the proxy; with a spool when it has a name. */
async function startApi(spool: string | null, overrides: Overrides = {}): Promise<TestApi> {
  const api = await startTestApi(
    { ...ledger, url: proxy.through(ledger.url) },
    {
      readings: {
        timeZone: 'UTC',
        spoolDir: spool === null ? '' : join(folder, spool),
        spoolLimitBytes: 10_000_000,
      },
      ...overrides,
    },
  );
  stops.push(() => api.stop());
  return api;
}

const send = (api: TestApi, meterId: string, value: number, headers: Record<string, string> = {}) =>
  api.call('/v1/meter-readings', { json: { meterId, value, readAt: windowTime() }, headers });

/** The time is what the clock says, which may be another day's when it is sent again. */
const sendNow = (api: TestApi, meterId: string, value: number, key: string) =>
  api.call('/v1/meter-readings', { json: { meterId, value }, headers: { 'Idempotency-Key': key } });

/** A clock that is moved from one side of midnight to the other. */
function clockAtMidnight(): { now(): number; pass(): void } {
  const midnight = Math.ceil(Date.now() / 86_400_000) * 86_400_000;
  let now = midnight - 10_000;
  return {
    now: () => now,
    pass() {
      now = midnight + 10_000;
    },
  };
}

async function idOf(response: Response): Promise<string> {
  return ((await response.json()) as { id: string }).id;
}

describe('PostgreSQL cannot be reached', () => {
  test('without a spool readings are answered 503 at once, and 201 as soon as it is back', async () => {
    const api = await startApi(null);
    expect((await send(api, 'M-1', 1)).status).toBe(201);
    proxy.down();
    for (let n = 0; n < 20; n += 1) {
      const startedAt = performance.now();
      const answer = await send(api, 'M-2', n);
      expect(answer.status).toBe(503);
      expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
      expect(performance.now() - startedAt).toBeLessThan(1_500);
      await answer.text();
    }
    proxy.up();
    await waitFor(async () => (await send(api, 'M-3', 1)).status === 201, {
      describe: 'a reading to be stored',
    });
    expect((await countReadings(ledger.db)).readings).toBe(2);
  });

  test('30 s: two replicas with spools acknowledge every reading, and none is lost or there twice', async () => {
    let skewMs = 0;
    const clock = { now: () => Date.now() + skewMs };
    const replicas = [await startApi('a', { clock }), await startApi('b', { clock })] as const;
    for (const api of replicas) expect((await send(api, 'M-1', 0)).status).toBeLessThan(300);
    proxy.down();
    // What the replicas know of API keys is too old by now, and cannot be looked up.
    skewMs = 45_000;
    const acknowledged = await sendDuringOutage(replicas);
    expect(acknowledged.size).toBeGreaterThan(500);
    expect((await replicas[0].call('/v1/meters/M-1')).status).toBe(503);
    proxy.up();
    const tally = await waitFor(
      () => countReadings(ledger.db),
      ({ readings }) => readings >= acknowledged.size + 1,
      { timeoutMs: 20_000, describe: 'the spools to be drained' },
    );
    expect(tally.readings).toBe(acknowledged.size + 1);
    for (const [id, value] of acknowledged)
      expect((await getReading(ledger.db, 'default', id))?.value).toBe(value);
    for (const spool of ['a', 'b']) await untilEmpty(spool);
    // In the batches that wait for a job each of them is once.
    const { rows } = await ledger.db.query(
      'select sum(readings)::integer as readings from meter_reading_batches',
    );
    expect(rows[0].readings).toBe(acknowledged.size + 1);
  }, 90_000);

  /** One reading after the other; every third goes to both replicas: a twin. Answers the ids with their values. */
  async function sendDuringOutage(replicas: readonly TestApi[]): Promise<Map<string, number>> {
    const acknowledged = new Map<string, number>();
    const until = performance.now() + OUTAGE_MS;
    for (let n = 0; performance.now() < until; n += 1) {
      const meter = `M-${(n % (METERS - 1)) + 2}`;
      const key = { 'Idempotency-Key': `reading-${n}` };
      const targets = n % 3 === 0 ? replicas : replicas.slice(n % 2, (n % 2) + 1);
      const answers = await Promise.all(targets.map((api) => send(api, meter, n, key)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
      const ids = new Set(await Promise.all(answers.map(idOf)));
      expect(ids.size).toBe(1);
      for (const id of ids) acknowledged.set(id, n);
      await sleep(10);
    }
    return acknowledged;
  }

  const untilEmpty = (spool: string) =>
    waitFor(
      async () => (await readdir(join(folder, spool))).filter((name) => name !== 'lock'),
      (names) => names.length === 0,
      { describe: `spool ${spool} to be empty` },
    );

  test('a ledger that is silent is not waited for any longer than a person would', async () => {
    const api = await startApi('a');
    expect((await send(api, 'M-1', 1)).status).toBe(201);
    await ledger.db.query('select 1');
    const locked = withTransaction(ledger.db, async (client) => {
      await client.query('lock table meter_reading_batches in access exclusive mode');
      const startedAt = performance.now();
      const answer = await send(api, 'M-2', 1);
      expect(answer.status).toBe(202);
      expect(performance.now() - startedAt).toBeLessThan(4_000);
      return idOf(answer);
    });
    const id = await locked;
    await waitFor(() => getReading(ledger.db, 'default', id), { describe: 'the reading to be drained' });
  });

  test('a full spool is answered 503, and is of use again when it was drained', async () => {
    const spool = { timeZone: 'UTC', spoolDir: join(folder, 'a'), spoolLimitBytes: 4_096 };
    const api = await startApi('a', { readings: spool });
    await send(api, 'M-1', 1);
    proxy.down();
    const statuses: number[] = [];
    for (let n = 0; n < 40; n += 1) {
      const answer = await send(api, `M-${n + 2}`, n);
      statuses.push(answer.status);
      if (answer.status === 503) expect(answer.headers.get('retry-after')).toBe('5');
      await answer.text();
    }
    const spooled = statuses.filter((status) => status === 202).length;
    expect(spooled).toBeGreaterThan(5);
    expect(statuses.slice(spooled)).toEqual(Array.from({ length: 40 - spooled }, () => 503));
    await expect(api.checkLedger()).rejects.toThrow();
    proxy.up();
    await waitFor(
      () => countReadings(ledger.db),
      ({ readings }) => readings === spooled + 1,
      { describe: 'the spool to be drained' },
    );
    // Another one each time: what is spooled once more is there already when it is sent again.
    const values = Array.from({ length: 1_000 }, (_, n) => n).values();
    await waitFor(async () => (await send(api, 'M-200', values.next().value ?? 0)).status === 201, {
      describe: 'a reading to be stored',
    });
  });

  test('a process with room in its spool is ready', async () => {
    const api = await startApi('a');
    proxy.down();
    await api.checkLedger();
  });

  test('a spooled reading of a meter that does not exist is kept, as REFUSED', async () => {
    const api = await startApi('a');
    await send(api, 'M-1', 1);
    proxy.down();
    const answer = await send(api, 'nobody', 5);
    expect(answer.status).toBe(202);
    const id = await idOf(answer);
    proxy.up();
    const kept = await waitFor(() => getReading(ledger.db, 'default', id), {
      describe: 'the reading to be drained',
    });
    expect(kept).toMatchObject({ status: 'REFUSED', reason: 'UnknownMeter' });
  });

  test('a key is one reading before midnight and after it, and none for another body', async () => {
    const clock = clockAtMidnight();
    const api = await startApi('a', { clock });
    await send(api, 'M-1', 1);
    proxy.down();
    const first = await Promise.all(Array.from({ length: 5 }, () => sendNow(api, 'M-2', 7, 'evening')));
    expect(first.map(({ status }) => status)).toEqual([202, 202, 202, 202, 202]);
    const ids = new Set(await Promise.all(first.map(idOf)));
    clock.pass();
    const again = await sendNow(api, 'M-2', 7, 'evening');
    expect(again.status).toBe(202);
    const { id, links } = (await again.json()) as { id: string; links: { self: string } };
    expect(new Set([...ids, id]).size).toBe(1);
    expect(links.self).toBe(`/v1/meter-readings/${id}`);
    await expectConflict(await sendNow(api, 'M-2', 8, 'evening'));
    proxy.up();
    expect(await idOf(await untilExisting(() => sendNow(api, 'M-2', 7, 'evening')))).toBe(id);
    await expectConflict(await sendNow(api, 'M-2', 8, 'evening'));
    expect((await countReadings(ledger.db)).readings).toBe(2);
  });

  test('a key that the ledger knows is its reading, also when it is spooled; another body is not lost', async () => {
    const clock = clockAtMidnight();
    const api = await startApi('a', { clock });
    const id = await idOf(await sendNow(api, 'M-2', 7, 'evening'));
    await sendNow(api, 'M-3', 7, 'taken');
    proxy.down();
    clock.pass();
    expect((await sendNow(api, 'M-2', 7, 'evening')).status).toBe(202);
    const other = await sendNow(api, 'M-3', 8, 'taken');
    expect(other.status).toBe(202);
    proxy.up();
    await untilEmpty('a');
    expect((await countReadings(ledger.db)).readings).toBe(3);
    expect((await getReading(ledger.db, 'default', id))?.value).toBe(7);
    expect((await getReading(ledger.db, 'default', await idOf(other)))?.value).toBe(8);
    await untilExisting(() => sendNow(api, 'M-3', 7, 'taken'));
    await expectConflict(await sendNow(api, 'M-3', 8, 'taken'));
    expect((await countReadings(ledger.db)).readings).toBe(3);
  });

  /** Sends until the ledger answers, which may be spooled some times before. */
  const untilExisting = (sendAgain: () => Promise<Response>) =>
    waitFor(sendAgain, ({ status }) => status === 200, { describe: 'the ledger to answer' });

  test('a process that finds keys in its spool knows what they stand for', async () => {
    const clock = clockAtMidnight();
    const earlier = await startApi('a', { clock });
    await send(earlier, 'M-1', 1);
    proxy.down();
    const id = await idOf(await sendNow(earlier, 'M-2', 7, 'evening'));
    await stops.pop()?.();
    proxy.up();
    await withTransaction(ledger.db, async (client) => {
      // The ledger lets a process start, and takes no readings yet.
      await client.query('lock table meter_reading_keys in access exclusive mode');
      const api = await startApi('a', { clock });
      clock.pass();
      const again = await sendNow(api, 'M-2', 7, 'evening');
      expect([again.status, await idOf(again)]).toEqual([202, id]);
      await expectConflict(await sendNow(api, 'M-2', 8, 'evening'));
    });
    await untilEmpty('a');
    expect((await getReading(ledger.db, 'default', id))?.value).toBe(7);
    expect((await countReadings(ledger.db)).readings).toBe(2);
  });

  async function expectConflict(answer: Response): Promise<void> {
    const { code } = (await answer.json()) as { code: string };
    expect([answer.status, code]).toEqual([422, 'IdempotencyConflict']);
  }

  test('a batch that the spool has no room for leaves nothing there, and what is smaller is taken', async () => {
    const spool = { timeZone: 'UTC', spoolDir: join(folder, 'a'), spoolLimitBytes: 16_384 };
    const api = await startApi('a', { readings: spool });
    await send(api, 'M-1', 1);
    proxy.down();
    for (let n = 0; n < 10; n += 1) expect((await send(api, `M-${n + 2}`, n)).status).toBe(202);
    const readings = Array.from({ length: 100 }, (_, n) => ({
      meterId: `M-${n + 100}`,
      value: 9,
      readAt: windowTime(),
    }));
    const batch = await api.call('/v1/meter-readings:batch', { json: { readings } });
    expect([batch.status, batch.headers.get('retry-after')]).toEqual([503, '5']);
    expect((await send(api, 'M-12', 1)).status).toBe(202);
    proxy.up();
    await untilEmpty('a');
    expect((await countReadings(ledger.db)).readings).toBe(12);
  });

  test('a batch is spooled whole', async () => {
    const api = await startApi('a');
    await send(api, 'M-1', 1);
    proxy.down();
    const readings = Array.from({ length: 1_000 }, (_, n) => ({
      meterId: `M-${n + 1}`,
      value: 9,
      readAt: windowTime(),
    }));
    const answer = await api.call('/v1/meter-readings:batch', { json: { readings } });
    expect(answer.status).toBe(202);
    proxy.up();
    await waitFor(
      () => countReadings(ledger.db),
      (tally) => tally.readings === 1_001,
      { describe: 'the spool to be drained' },
    );
  });
});

describe('the spool by itself', () => {
  const isAway = () => Promise.reject(Object.assign(new Error('away'), { code: 'ECONNREFUSED' }));

  async function openSpool(
    store: (entries: SpoolEntry[]) => Promise<unknown> = isAway,
    maxBytes = 1_000_000,
  ): Promise<ReadingSpool> {
    const spool = await ReadingSpool.open({ dir: folder, maxBytes, store, logger: silentLogger });
    stops.push(() => spool.stop());
    return spool;
  }
  const append = (spool: ReadingSpool, ...readings: NewReading[]) =>
    spool.append(readings.map((reading) => ({ reading, key: null })));
  const valuesOf = (entries: readonly SpoolEntry[]) => entries.map(({ reading }) => reading.value);
  const segments = async () => (await readdir(folder)).filter((name) => name.endsWith('.spool')).toSorted();

  test('what was acknowledged before a crash is drained after it, in its order', async () => {
    const first = await openSpool();
    for (let n = 0; n < 50; n += 1) await append(first, newReading(`M-${n + 1}`, n));
    // The crash: nobody closes anything, and the last line is torn.
    const [segment = ''] = (await segments()).slice(-1);
    await appendFile(join(folder, segment), '0badc0de {"id":"torn');
    const drained: number[] = [];
    await openSpool(async (entries) => drained.push(...valuesOf(entries)));
    await waitFor(() => drained.length === 50, { describe: 'the drain' });
    expect(drained).toEqual(Array.from({ length: 50 }, (_, n) => n));
    await waitFor(async () => (await segments()).length === 0, { describe: 'the segments to go' });
  });

  test('a crash in the middle of a drain repeats it, and the ledger has each reading once', async () => {
    const first = await openSpool();
    await Promise.all(
      Array.from({ length: 2_500 }, (_, n) => append(first, newReading(`M-${n + 1}`, n)).catch(() => {})),
    );
    const written = (
      await Promise.all((await segments()).map((name) => readFile(join(folder, name), 'utf8')))
    )
      .join('')
      .trimEnd()
      .split('\n').length;
    let calls = 0;
    await openSpool(async (entries) => {
      calls += 1;
      const sent = entries.map((entry) => ({ ...entry, at: () => entry.reading, traceparent: null }));
      await storeReadings(ledger.db, sent);
      // Stored, and the answer lost.
      if (calls === 1) await isAway();
    });
    await waitFor(async () => (await segments()).length === 0, { describe: 'the segments to go' });
    expect((await countReadings(ledger.db)).readings).toBe(written);
    expect(calls).toBeGreaterThan(1);
  });

  test('a line that the disk has changed is set aside for a person, and the rest is drained', async () => {
    const first = await openSpool();
    for (let n = 0; n < 3; n += 1) await append(first, newReading(`M-${n + 1}`, n));
    const [segment = ''] = (await segments()).slice(-1);
    const text = await readFile(join(folder, segment), 'utf8');
    await writeFile(join(folder, segment), text.replace('"M-2"', '"M-9"'));
    const drained: number[] = [];
    await openSpool(async (entries) => drained.push(...valuesOf(entries)));
    await waitFor(() => drained.length === 2, { describe: 'the drain' });
    expect(drained).toEqual([0, 2]);
    const broken = (await readdir(folder)).filter((name) => name.endsWith('.broken'));
    expect(broken).toHaveLength(1);
  });

  test('what the ledger refuses for good does not hold up what comes after it', async () => {
    const first = await openSpool();
    for (let n = 0; n < 3; n += 1) await append(first, newReading(`M-${n + 1}`, n));
    const drained: number[] = [];
    await openSpool(async (entries) => {
      const values = valuesOf(entries);
      if (values.includes(1)) throw Object.assign(new Error('refused'), { code: '22021' });
      drained.push(...values);
    });
    await waitFor(() => drained.length === 2, { describe: 'the drain' });
    expect(drained).toEqual([0, 2]);
  });

  test('of requests that are written together those without room are refused, each of them whole', async () => {
    const first = await openSpool(isAway, 7_000);
    const requests = Array.from({ length: 4 }, (_, n) =>
      append(first, ...Array.from({ length: 12 }, (_, m) => newReading(`M-${m + 1}`, 100 * n + m))),
    );
    const settled = await Promise.allSettled(requests);
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected']);
    expect(first.bytes).toBeLessThan(7_000);
    const drained: number[] = [];
    await openSpool(async (entries) => drained.push(...valuesOf(entries)));
    await waitFor(async () => (await segments()).length === 0, { describe: 'the segments to go' });
    const whole = Array.from({ length: 12 }, (_, m) => m);
    expect(drained).toEqual([...whole, ...whole.map((m) => 100 + m)]);
  });

  test('lines of an earlier version, which are readings without keys, are drained', async () => {
    const reading = newReading('M-1', 7);
    const json = JSON.stringify(reading);
    await writeFile(
      join(folder, `${uuidv7()}.spool`),
      `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`,
    );
    const drained: SpoolEntry[] = [];
    await openSpool(async (entries) => drained.push(...entries));
    await waitFor(async () => (await segments()).length === 0, { describe: 'the segments to go' });
    expect(drained).toEqual([{ reading, key: null }]);
  });

  test('a folder that a living process has is not taken', async () => {
    await writeFile(join(folder, 'lock'), `${(await import('node:os')).hostname()} ${process.ppid}`);
    await expect(openSpool()).rejects.toThrow('a folder of its own');
  });
});

describe('what else may happen to a commit', () => {
  test('its answer is lost: the reading is stored once, and that is said', async () => {
    const api = await startApi(null);
    const fault = proxy.plan({ name: 'store-readings', fault: 'after' });
    const answer = await send(api, 'M-1', 7);
    expect(fault.verified).toBe(1);
    expect(answer.status).toBeLessThan(300);
    expect((await countReadings(ledger.db)).readings).toBe(1);
  });

  test('it loses against other transactions (40001): it is tried again, and nobody notices', async () => {
    await ledger.db.query(`create sequence losses;
      create function lose() returns trigger language plpgsql as $$ begin
        if nextval('losses') <= 3 then raise exception 'lost' using errcode = '40001'; end if; return new; end $$;
      create trigger lose before insert on meter_reading_batches for each row execute function lose()`);
    try {
      const api = await startApi(null);
      expect((await send(api, 'M-1', 7)).status).toBe(201);
      expect((await send(api, 'M-2', 7, { 'Idempotency-Key': 'k' })).status).toBe(201);
      expect((await countReadings(ledger.db)).readings).toBe(2);
    } finally {
      await ledger.db.query(
        'drop trigger lose on meter_reading_batches; drop function lose; drop sequence losses',
      );
    }
  });

  test('more come than can be stored: 429 with Retry-After before memory grows, and what was taken is stored', async () => {
    const api = await startApi(null, { limits: { maxInFlight: 50 } });
    await send(api, 'M-3000', 1);
    const answers = await withTransaction(ledger.db, async (client) => {
      await client.query('lock table meter_reading_batches in access exclusive mode');
      const sent = Array.from({ length: 45 }, (_, n) => send(api, `M-${n + 1}`, 1));
      const refused = await waitFor(
        async () => {
          const settled = await Promise.race([Promise.all(sent.slice(40)), sleep(100, null)]);
          return settled;
        },
        { describe: 'the last ones to be refused' },
      );
      for (const answer of refused) {
        expect(answer.status).toBe(429);
        expect(answer.headers.get('retry-after')).toBe('1');
      }
      return sent;
    });
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(40);
    expect(statuses.filter((status) => status === 429)).toHaveLength(5);
    expect((await countReadings(ledger.db)).readings).toBe(41);
  });
});
