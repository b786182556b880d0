import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cutReadingRanges, keepReadings } from '../../src/controller/reading-ranges.ts';
import { uuidv7 } from '../../src/core/ids.ts';
import { silentLogger } from '../../src/core/logger.ts';
import type { NewReading } from '../../src/core/meter-reading.ts';
import { connectDatabase } from '../../src/ledger/database.ts';
import { cancelJobs } from '../../src/ledger/jobs.ts';
import { getReading } from '../../src/ledger/meter-readings.ts';
import { cutRange, listUnacceptedRanges, listWaitingBatches } from '../../src/ledger/reading-ranges.ts';
import { storeReadings } from '../../src/ledger/store-readings.ts';
import type { WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { judgeReadings, type LoadedReading } from '../../src/types/meter-readings/judge.ts';
import { createMeterReadingsHandler } from '../../src/types/meter-readings/run.ts';
import { Embedded } from '../support/embedded.ts';
import { createTestLedger, settle, type TestLedger } from '../support/ledger.ts';
import {
  countReadings,
  newReading,
  readingServices,
  seedMeters,
  untilJudged,
  windowTime,
} from '../support/readings.ts';

let ledger: TestLedger;
beforeAll(async () => {
  ledger = await createTestLedger(['meter-readings']);
  await seedMeters(ledger.db, 5_000);
});
afterAll(() => ledger.close());
beforeEach(async () => {
  await ledger.db.query(
    'truncate meter_readings, meter_reading_batches, meter_reading_ranges, meter_registers, jobs, events, attempts',
  );
});

const store = (readings: NewReading[]) =>
  storeReadings(
    ledger.db,
    readings.map((reading) => ({ reading, key: null, at: () => reading, traceparent: null })),
  );
/** As if the readings that wait had come long ago. */
const ripen = () =>
  ledger.db.query(`update meter_reading_batches set stored_at = stored_at - interval '1 minute'`);

interface Range {
  id: string;
  job_id: string;
  readings: number;
  tries: number;
  judged_at: Date | null;
}
const ranges = async () =>
  (await ledger.db.query<Range>('select * from meter_reading_ranges order by id')).rows;
const jobs = async () =>
  (await ledger.db.query<{ id: string; status: string }>(`select id, status from jobs order by id`)).rows;

async function claim(worker: WorkerLedger, id: string, lease = 0): Promise<{ id: string; lease: number }> {
  await ledger.db.query(`update jobs set admitted_at = now(), dispatched_at = now() where id = $1`, [id]);
  const [job] = await worker.claim([{ id, lease }]);
  if (job === undefined || 'refused' in job) throw new Error(`The claim was refused: ${JSON.stringify(job)}`);
  return job;
}

/** Loads a range as a worker does, and what its judgement would be. */
async function load(worker: WorkerLedger, job: { id: string; lease: number }, range: string) {
  const loaded = (await worker.call('load_reading_range', job, { range })) as { readings: LoadedReading[] };
  return { range, ...judgeReadings(loaded.readings) };
}

test('few readings are stored by the plan that is made once for any number', async () => {
  await ledger.db.query('analyze meters');
  const db = connectDatabase({
    ...{ url: ledger.url, applicationName: 'test', maxConnections: 1, logger: silentLogger },
  });
  for (let n = 1; n <= 12; n += 1) {
    const reading = newReading('M-1', n);
    const key = { key: reading.id, bodySha256: '0' };
    await storeReadings(db, [{ reading, key, at: () => reading, traceparent: null }]);
  }
  const { rows } = await db.query<{ name: string; generic: boolean }>(
    `select name, generic_plans > 0 as generic from pg_prepared_statements where name in ('store-readings', 'take-reading-keys')`,
  );
  await db.end();
  expect(rows).toHaveLength(2);
  // PostgreSQL tries five plans of their own before it settles.
  expect(rows.filter(({ generic }) => !generic)).toEqual([]);
});

describe('cutting', () => {
  test('a flood is cut into full ranges of one job each; the rest waits for a second', async () => {
    await store(Array.from({ length: 2_300 }, (_, n) => newReading(`M-${n + 1}`, 1)));
    expect(await cutReadingRanges(ledger.db)).toEqual({ ranges: 2, jobs: 2 });
    expect((await ranges()).map(({ readings }) => readings)).toEqual([1_000, 1_000]);
    expect(await listWaitingBatches(ledger.db, 10)).toMatchObject([{ readings: 300 }]);
    await ripen();
    expect(await cutReadingRanges(ledger.db)).toEqual({ ranges: 1, jobs: 1 });
    expect((await jobs()).map(({ id }) => id)).toEqual(
      (await ranges()).map(({ job_id }) => job_id).toSorted(),
    );
  });

  test('two that lead at once put every reading into one range with one job', async () => {
    for (let n = 0; n < 60; n += 1) await store([newReading(`M-${n + 1}`, 1), newReading(`M-${n + 101}`, 2)]);
    await ripen();
    await Promise.all(Array.from({ length: 4 }, () => cutReadingRanges(ledger.db)));
    const made = await ranges();
    expect(made.reduce((sum, { readings }) => sum + readings, 0)).toBe(120);
    expect((await jobs()).map(({ id }) => id)).toEqual(made.map(({ job_id }) => job_id).toSorted());
    const { rows } = await ledger.db.query(
      `select count(*)::integer as n from (select unnest(batches) from meter_reading_ranges) b`,
    );
    expect(rows[0].n).toBe(60);
  });

  test('a crash after the cut, and one after the acceptance, lose no range and make no second job', async () => {
    await store([newReading('M-1', 1)]);
    const [batch] = await listWaitingBatches(ledger.db, 10);
    await cutRange(ledger.db, 'default', [batch?.id ?? '']);
    expect(await jobs()).toEqual([]);
    expect(await listUnacceptedRanges(ledger.db, 10)).toHaveLength(1);
    expect(await cutReadingRanges(ledger.db)).toEqual({ ranges: 0, jobs: 1 });
    await ledger.db.query('update meter_reading_ranges set accepted_at = null');
    expect(await cutReadingRanges(ledger.db)).toEqual({ ranges: 0, jobs: 1 });
    expect(await jobs()).toHaveLength(1);
  });

  test('a statement that failed half-way leaves readings without a batch to nobody: both are stored, or neither', async () => {
    await expect(store([{ ...newReading('M-1', 1), id: 'no-id' }])).rejects.toThrow();
    expect((await countReadings(ledger.db)).readings).toBe(0);
    expect(await listWaitingBatches(ledger.db, 10)).toEqual([]);
  });
});

describe('a range is judged, whatever becomes of its job', () => {
  async function oneRange(): Promise<Range> {
    await store([newReading('M-1', 10)]);
    await ripen();
    await cutReadingRanges(ledger.db);
    await ledger.db.query(`update meter_reading_ranges set accepted_at = now() - interval '1 minute'`);
    return (await ranges())[0] as Range;
  }

  test.each(['cancelled', 'failed', 'deleted'])('its job was %s: it gets another one', async (fate) => {
    const { job_id } = await oneRange();
    if (fate === 'cancelled') await cancelJobs(ledger.db, 'default', [job_id]);
    if (fate === 'failed') await settle(ledger.db, job_id, 'ERROR', { error: { code: 'HandlerFailed' } });
    if (fate === 'deleted') await ledger.db.query('delete from jobs');
    expect(await keepReadings(ledger.db)).toMatchObject({ reopened: 1 });
    expect(await keepReadings(ledger.db)).toMatchObject({ reopened: 0 });
    await cutReadingRanges(ledger.db);
    const [range] = await ranges();
    expect(range).toMatchObject({ tries: 2, judged_at: null });
    expect(range?.job_id).not.toBe(job_id);
    expect((await jobs()).map(({ id }) => id)).toContain(range?.job_id);
  });

  test('the job of before may not judge it any more', async () => {
    const { id, job_id } = await oneRange();
    const worker = ledger.worker();
    const job = await claim(worker, job_id);
    await ledger.db.query('update meter_reading_ranges set job_id = $1', [uuidv7()]);
    expect(await worker.call('load_reading_range', job, { range: id })).toBeNull();
    expect(
      await worker.call('judge_reading_range', job, { range: id, judgements: [], registers: [] }),
    ).toBeNull();
  });

  test('a delivery whose lease is over writes nothing', async () => {
    const { id, job_id } = await oneRange();
    const late = ledger.worker();
    const lateJob = await claim(late, job_id);
    const payload = await load(late, lateJob, id);
    await ledger.db.query(`update jobs set lease_until = now() - interval '1 second'`);
    await ledger.db.query('select * from recover_leases(30, 5, 10)');
    const second = ledger.worker();
    const job = await claim(second, job_id, lateJob.lease);
    await expect(late.call('judge_reading_range', lateJob, payload)).rejects.toThrow(
      'the lease is not current',
    );
    expect(await countReadings(ledger.db)).toMatchObject({ received: 1 });
    expect(await second.call('judge_reading_range', job, await load(second, job, id))).toEqual({ judged: 1 });
    expect(await countReadings(ledger.db)).toMatchObject({ accepted: 1 });
  });

  test('a judgement whose answer was lost is not made twice', async () => {
    const { id, job_id } = await oneRange();
    const worker = ledger.worker();
    const job = await claim(worker, job_id);
    const payload = await load(worker, job, id);
    await worker.call('judge_reading_range', job, payload);
    expect(await worker.call('judge_reading_range', job, payload)).toEqual({ judged: 0 });
    expect(await worker.call('load_reading_range', job, { range: id })).toEqual({
      judged: true,
      readings: [],
    });
  });

  test('two ranges with readings of one meter: the later one is judged against the earlier, whoever is quicker', async () => {
    const [early, late] = [
      newReading('M-1', 100, { readAtMs: Date.parse(windowTime(15)) }),
      newReading('M-1', 50, { readAtMs: Date.parse(windowTime(16)) }),
    ];
    const worker = ledger.worker();
    const claimed: { job: { id: string; lease: number }; id: string }[] = [];
    for (const reading of [early, late]) {
      await store([reading]);
      await ripen();
      await cutReadingRanges(ledger.db);
      const range = (await ranges()).at(-1) as Range;
      claimed.push({ job: await claim(worker, range.job_id), id: range.id });
    }
    const [first, second] = claimed as [(typeof claimed)[0], (typeof claimed)[0]];
    const [a, b] = [await load(worker, first.job, first.id), await load(worker, second.job, second.id)];
    await worker.call('judge_reading_range', first.job, a);
    await expect(worker.call('judge_reading_range', second.job, b)).rejects.toMatchObject({
      code: 'SerializationFailure',
    });
    expect(await countReadings(ledger.db)).toMatchObject({ accepted: 1, received: 1 });
    await worker.call('judge_reading_range', second.job, await load(worker, second.job, second.id));
    expect(await getReading(ledger.db, 'default', late.id)).toMatchObject({
      reason: 'LowerThanLast',
      previous: 100,
    });
  });
});

test('many readings of few meters in many ranges at once: every register ends where its accepted readings end', async () => {
  const embedded = new Embedded({
    ledger,
    registrations: [createMeterReadingsHandler()],
    services: readingServices(ledger.db),
    concurrency: 8,
  });
  embedded.startController();
  await embedded.startWorker();
  await embedded.startWorker();
  try {
    for (let n = 0; n < 40; n += 1) {
      const at = Date.parse(windowTime(15)) + n * 60_000;
      await store(
        Array.from({ length: 5 }, (_, m) => newReading(`M-${m + 1}`, (n * 37) % 101, { readAtMs: at })),
      );
      if (n % 4 === 0) await ripen();
    }
    const tally = await untilJudged(ledger.db);
    expect(tally.readings).toBe(200);
    const { rows } = await ledger.db.query(
      `select g.meter_id, g.value::integer as value, sum(r.consumption)::integer + min(r.value)::integer as sum from meter_registers g
       join meter_readings r on r.meter_id = g.meter_id and r.status = 'ACCEPTED' group by 1, 2`,
    );
    expect(rows).toHaveLength(5);
    for (const { value, sum } of rows) expect(sum).toBe(value);
    const { rows: unjudged } = await ledger.db.query(
      'select from meter_reading_ranges where judged_at is null',
    );
    expect(unjudged).toEqual([]);
  } finally {
    await embedded.stop();
  }
});
