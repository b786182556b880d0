import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { putMeters } from '../../src/ledger/meters.ts';
import { createMeterReadingsHandler } from '../../src/types/meter-readings/run.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { Embedded } from '../support/embedded.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';
import {
  countReadings,
  readingServices,
  seedMeters,
  untilJudged,
  windowDay,
  windowTime,
} from '../support/readings.ts';

let ledger: TestLedger;
let api: TestApi;
let embedded: Embedded;

beforeAll(async () => {
  ledger = await createTestLedger(['meter-readings']);
  await seedMeters(ledger.db, 400);
  await putMeters(ledger.db, 'default', [
    {
      id: 'TWO',
      customerId: 'C',
      tariff: 'home',
      zones: ['day', 'night'],
      digits: 5,
      rollsOver: true,
      maxPerDay: 10,
    },
  ]);
  api = await startTestApi(ledger);
  embedded = new Embedded({
    ledger,
    registrations: [createMeterReadingsHandler()],
    services: readingServices(ledger.db),
  });
  embedded.startController();
  await embedded.startWorker();
});
afterAll(async () => {
  await embedded.stop();
  await api.stop();
  await ledger.close();
});

// biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely
type Json = any;
const send = (body: object, headers: Record<string, string> = {}) =>
  api.call('/v1/meter-readings', { json: body, headers });
const json = async (response: Response): Promise<Json> => response.json();
const get = async (path: string): Promise<Json> => json(await api.call(path));

describe('taking readings', () => {
  test('a reading is answered when it is durable, judged soon after, and billed', async () => {
    const first = await send({ meterId: 'M-1', value: 1_000, readAt: windowTime(15) });
    expect(first.status).toBe(201);
    const stored = await json(first);
    expect(stored).toMatchObject({
      meterId: 'M-1',
      zone: 'total',
      value: 1_000,
      status: 'RECEIVED',
      reason: null,
    });
    expect(first.headers.get('location')).toBe(`/v1/meter-readings/${stored.id}`);
    await untilJudged(ledger.db);
    expect(await json(await send({ meterId: 'M-1', value: 1_150, readAt: windowTime(16) }))).toMatchObject({
      value: 1_150,
    });
    await untilJudged(ledger.db);
    const { readings } = await get('/v1/meters/M-1/readings');
    expect(readings).toMatchObject([
      {
        value: 1_150,
        status: 'ACCEPTED',
        previous: 1_000,
        consumption: 150,
        cost: '648.00',
        currency: 'UAH',
      },
      { value: 1_000, status: 'ACCEPTED', previous: null, consumption: 0 },
    ]);
    const month = windowDay().slice(0, 7);
    expect(await get(`/v1/meters/M-1/bill?month=${month}`)).toEqual({
      meterId: 'M-1',
      month,
      lines: [
        {
          zone: 'total',
          readings: 2,
          from: null,
          to: 1_150,
          consumption: 150,
          cost: '648.00',
          currency: 'UAH',
        },
      ],
      consumption: 150,
      cost: '648.00',
      currency: 'UAH',
      waiting: 0,
    });
    expect(await get('/v1/meters/M-1')).toMatchObject({ registers: [{ zone: 'total', value: 1_150 }] });
  });

  test('why a value was refused is told', async () => {
    await send({ meterId: 'M-2', value: 500, readAt: windowTime(15) });
    await untilJudged(ledger.db);
    const { id } = await json(await send({ meterId: 'M-2', value: 400, readAt: windowTime(16) }));
    await untilJudged(ledger.db);
    expect(await get(`/v1/meter-readings/${id}`)).toMatchObject({
      status: 'REFUSED',
      reason: { code: 'LowerThanLast', message: 'The value is lower than the last one' },
      previous: 500,
      cost: null,
    });
  });

  test('the same reading sent often, and at once, is one reading', async () => {
    const body = { meterId: 'M-3', value: 77, readAt: windowTime() };
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(body)));
    const ids = new Set(await Promise.all(answers.map(async (answer) => (await json(answer)).id)));
    expect(ids.size).toBe(1);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(19);
    expect((await get('/v1/meters/M-3/readings')).readings).toHaveLength(1);
  });

  test('the same Idempotency-Key is one reading, also when the day has changed; for another body it is a conflict', async () => {
    const key = { 'Idempotency-Key': 'evening-1' };
    const body = { meterId: 'M-4', value: 10 };
    const { id } = await json(await send(body, key));
    // As if the first request had come yesterday.
    await ledger.db.query(`update meter_reading_keys set read_at = read_at - interval '1 day'`);
    const again = await json(await send(body, key));
    expect(again.id).not.toBe(id);
    expect((await json(await send(body, key))).id).toBe(again.id);
    const other = await send({ ...body, value: 11 }, key);
    expect([other.status, (await json(other)).code]).toEqual([422, 'IdempotencyConflict']);
  });

  test('a batch is all or none, and tells of each', async () => {
    const readings = Array.from({ length: 300 }, (_, n) => ({
      meterId: `M-${n + 100}`,
      value: 5,
      readAt: windowTime(),
    }));
    const stored = await api.call('/v1/meter-readings:batch', { json: { readings } });
    expect(stored.status).toBe(201);
    expect((await json(stored)).readings.every(({ outcome }: Json) => outcome === 'stored')).toBe(true);
    const again = await json(await api.call('/v1/meter-readings:batch', { json: { readings } }));
    expect(again.readings.every(({ outcome }: Json) => outcome === 'existing')).toBe(true);
    const before = await countReadings(ledger.db);
    const bad = await api.call('/v1/meter-readings:batch', {
      json: {
        readings: [
          { meterId: 'M-5', value: 6 },
          { meterId: 'nobody', value: 6 },
        ],
      },
    });
    expect(bad.status).toBe(400);
    expect((await json(bad)).errors).toEqual([
      { pointer: '/readings/1/meterId', detail: 'there is no such meter' },
    ]);
    expect((await countReadings(ledger.db)).readings).toBe(before.readings);
  });

  test('pages go from the newest to the oldest without a gap', async () => {
    for (let n = 0; n < 7; n += 1)
      await send({ meterId: 'M-6', value: 100 + n, readAt: windowTime(15 + (n % 2)) });
    const seen: number[] = [];
    let path = '/v1/meters/M-6/readings?limit=3';
    for (;;) {
      const page = await get(path);
      seen.push(...page.readings.map(({ value }: Json) => value));
      if (page.nextCursor === null) break;
      path = `/v1/meters/M-6/readings?limit=3&cursor=${page.nextCursor}`;
    }
    expect(seen.toSorted()).toEqual([100, 101, 102, 103, 104, 105, 106]);
    const days = (await get('/v1/meters/M-6/readings')).readings.map(({ day }: Json) => day);
    expect(days).toEqual(days.toSorted().toReversed());
  });

  test('of one day too the newest comes first, over the edge of a page', async () => {
    const hours = [9, 14, 7, 20, 11];
    for (const hour of hours) {
      const readAt = `${windowTime(15).slice(0, 10)}T${String(hour).padStart(2, '0')}:00:00Z`;
      await send({ meterId: 'M-9', value: hour, readAt });
    }
    const first = await get('/v1/meters/M-9/readings?limit=2');
    const rest = await get(`/v1/meters/M-9/readings?limit=5&cursor=${first.nextCursor}`);
    const values = [...first.readings, ...rest.readings].map(({ value }: Json) => value);
    expect(values).toEqual([20, 14, 11, 9, 7]);
  });

  test('a month in two currencies has no sum', async () => {
    for (const [dayOfMonth, value] of [
      [15, 10],
      [16, 20],
      [17, 40],
    ] as const)
      await send({ meterId: 'M-10', value, readAt: windowTime(dayOfMonth) });
    await untilJudged(ledger.db);
    const month = windowTime().slice(0, 7);
    expect(await get(`/v1/meters/M-10/bill?month=${month}`)).toMatchObject({
      cost: '129.60',
      currency: 'UAH',
    });
    await ledger.db.query(
      `update meter_readings set currency = 'EUR' where meter_id = 'M-10' and value = 40`,
    );
    const line = { zone: 'total', consumption: 30, cost: null, currency: null };
    expect(await get(`/v1/meters/M-10/bill?month=${month}`)).toMatchObject({
      ...{ cost: null, currency: null, lines: [line] },
    });
  });
});

describe('what is wrong is told, and leaves nothing behind', () => {
  const now = new Date().toISOString();
  const nextYear = `${Number(now.slice(0, 4)) + 1}${now.slice(4)}`;
  test.each([
    ['an unknown meter', { meterId: 'nobody', value: 1 }, '/meterId'],
    ['a meter that is no text', { meterId: 7, value: 1 }, '/meterId'],
    ['a meter with a path in it', { meterId: '../../etc/passwd', value: 1 }, '/meterId'],
    ['a meter of SQL', { meterId: "M-7'; drop table meters; --", value: 1 }, '/meterId'],
    ['no value', { meterId: 'M-7' }, '/value'],
    ['a negative value', { meterId: 'M-7', value: -1 }, '/value'],
    ['a fraction', { meterId: 'M-7', value: 1.5 }, '/value'],
    ['40 digits', { meterId: 'M-7', value: 1e39 }, '/value'],
    ['40 digits as text', { meterId: 'M-7', value: '1'.repeat(40) }, '/value'],
    ['ten digits', { meterId: 'M-7', value: 1_000_000_000 }, '/value'],
    ['more digits than the meter has', { meterId: 'M-7', value: 1_000_000 }, '/value'],
    ['null', { meterId: 'M-7', value: null }, '/value'],
    ['next year', { meterId: 'M-7', value: 1, readAt: nextYear }, '/readAt'],
    ['long ago', { meterId: 'M-7', value: 1, readAt: '1999-01-20T00:00:00Z' }, '/readAt'],
    ['no time', { meterId: 'M-7', value: 1, readAt: 'yesterday' }, '/readAt'],
    ['the 31st of February', { meterId: 'M-7', value: 1, readAt: '2026-02-31T00:00:00Z' }, '/readAt'],
    ['a zone that the meter lacks', { meterId: 'M-7', value: 1, zone: 'night' }, '/zone'],
    ['no zone where there are two', { meterId: 'TWO', value: 1 }, '/zone'],
    ['a field that is not known', { meterId: 'M-7', value: 1, cost: 0 }, '/cost'],
    ['a source of NUL', { meterId: 'M-7', value: 1, source: 'a\0' }, '/source'],
  ])('%s', async (_what, body, pointer) => {
    const answer = await send(body);
    const problem = await json(answer);
    expect([answer.status, problem.code]).toEqual([400, 'InvalidInput']);
    expect(problem.errors[0].pointer).toBe(pointer);
    expect((await get('/v1/meters/M-7/readings')).readings).toEqual([]);
  });

  test('what is no JSON, too large a batch, an empty one', async () => {
    const text = await api.call('/v1/meter-readings', {
      method: 'POST',
      body: '{"meterId": "M-7", "value": 1e999',
      headers: { 'Content-Type': 'application/json' },
    });
    expect([text.status, (await json(text)).code]).toEqual([400, 'InvalidJson']);
    for (const readings of [[], Array.from({ length: 1_001 }, () => ({ meterId: 'M-7', value: 1 })), 'x'])
      expect((await api.call('/v1/meter-readings:batch', { json: { readings } })).status).toBe(400);
  });

  test("another namespace's meters and readings are not there", async () => {
    const { id } = await json(await send({ meterId: 'M-8', value: 1, readAt: windowTime() }));
    const token = await api.key('other');
    for (const path of [
      `/v1/meter-readings/${id}`,
      '/v1/meters/M-8',
      '/v1/meters/M-8/readings',
      '/v1/meters/M-8/bill',
    ])
      expect((await api.call(path, { token })).status).toBe(404);
    const sent = await api.call('/v1/meter-readings', { json: { meterId: 'M-8', value: 2 }, token });
    expect(sent.status).toBe(400);
  });

  test.each([
    '/v1/meter-readings/nonsense',
    '/v1/meter-readings/018f3a5c-0000-7000-8000-000000000000',
    '/v1/meters/nobody',
    '/v1/meters/nobody/readings',
    '/v1/meters/nobody/bill',
    '/v1/meters/%00/readings',
  ])('%s is not found', async (path) => {
    expect((await api.call(path)).status).toBe(404);
  });

  test.each(['month=2026-13', 'month=now', 'month=', 'year=2026', 'month=2026-01&month=2026-02'])(
    'a bill of %s',
    async (query) => {
      expect((await api.call(`/v1/meters/M-1/bill?${query}`)).status).toBe(400);
    },
  );

  test('a key that may only read sends nothing', async () => {
    const token = await api.key('default', ['read']);
    expect((await api.call('/v1/meter-readings', { json: { meterId: 'M-7', value: 1 }, token })).status).toBe(
      403,
    );
  });

  test('a job with a range that is not its own judges nothing', async () => {
    const range = '018f3a5c-0000-7000-8000-000000000000';
    const { id } = await json(
      await api.call('/v1/jobs', { json: { type: 'meter-readings', input: { range } } }),
    );
    await expect
      .poll(async () => (await get(`/v1/jobs/${id}`)).error?.code, { timeout: 10_000 })
      .toBe('RangeUnknown');
  });
});
