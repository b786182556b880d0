import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fireSchedules } from '../../src/controller/schedules.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { cancelJobs, listJobs } from '../../src/ledger/jobs.ts';
import { listFires } from '../../src/ledger/schedule-fires.ts';
import { getSchedule, putSchedule } from '../../src/ledger/schedules.ts';
import { knownTypes } from '../support/known-types.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';

const MINUTE = 60_000;
/** A full minute, so that every minute's fire times are easy to name. */
const START = Date.parse('2026-03-02T10:00:00Z');

let ledger: TestLedger;
let nowMs: number;

beforeEach(async () => {
  ledger = await createTestLedger();
  nowMs = START;
});
afterEach(() => ledger.close());

const fire = () =>
  fireSchedules({
    db: ledger.db,
    clock: { now: () => nowMs },
    logger: silentLogger,
    types: knownTypes('echo', 'develop'),
  });
const jobs = () => listJobs(ledger.db, { namespace: 'default' }, { limit: 100, beforeId: null });
const fires = () => listFires(ledger.db, 'default', 'tick', 100);
const minutes = (list: { fireAtMs: number; outcome: string }[]) =>
  list.map((f) => `${(f.fireAtMs - START) / MINUTE} ${f.outcome}`);

/** A schedule of every minute from START on, with what the test says instead. */
async function put(spec: object = {}, name = 'tick', nextFireAtMs: number | null = START): Promise<void> {
  await putSchedule(ledger.db, {
    namespace: 'default',
    name,
    spec: {
      every: '1m',
      job: { type: 'echo', input: { n: 1 }, priority: 5, labels: { team: 'a' } },
      ...spec,
    },
    resourceUid: null,
    nextFireAtMs,
  });
}

describe('a schedule', () => {
  it('makes one job a fire time, from its template', async () => {
    await put();
    expect(await fire()).toEqual({ fired: 1, skipped: 0, failed: 0 });
    expect(await fire()).toEqual({ fired: 0, skipped: 0, failed: 0 });
    const [job] = await jobs();
    expect(job).toMatchObject({
      type: 'echo',
      input: { n: 1 },
      priority: 5,
      labels: { team: 'a', 'longshore.dev/schedule': 'tick' },
      status: 'CREATED',
    });
    expect(await getSchedule(ledger.db, 'default', 'tick')).toMatchObject({
      nextFireAtMs: START + MINUTE,
      lastFireAtMs: START,
      lastJobId: job?.id,
      version: 1,
    });
    nowMs += MINUTE;
    expect(await fire()).toMatchObject({ fired: 1 });
    expect(minutes(await fires())).toEqual(['1 fired', '0 fired']);
  });

  it('fires by one of two leaders, and not again when a fire time is dealt with twice', async () => {
    for (let n = 0; n < 20; n += 1) await put({}, `tick-${n}`);
    const counts = await Promise.all([fire(), fire()]);
    expect(counts[0].fired + counts[1].fired).toBe(20);
    // A ledger restored to before the fire, but for its keys: the fire time has its job already.
    await ledger.db.query(`update schedules set next_fire_at = $1`, [new Date(START)]);
    await fire();
    expect(await jobs()).toHaveLength(20);
  });

  it('does not fire while suspended', async () => {
    await put({ suspend: true });
    expect(await fire()).toEqual({ fired: 0, skipped: 0, failed: 0 });
    expect(await getSchedule(ledger.db, 'default', 'tick')).toMatchObject({ nextFireAtMs: null });
  });

  it('fires by the wall clock of its time zone', async () => {
    nowMs = Date.parse('2026-03-29T01:00:00Z');
    await put(
      { every: undefined, cron: '30 2 * * *', timeZone: 'Europe/Berlin' },
      'tick',
      Date.parse('2026-03-29T01:00:00Z'),
    );
    expect(await fire()).toMatchObject({ fired: 1 });
    expect((await getSchedule(ledger.db, 'default', 'tick'))?.nextFireAtMs).toBe(
      Date.parse('2026-03-30T00:30:00Z'),
    );
  });
});

describe('missed fire times', () => {
  it.each([
    ['none', 10, []],
    ['last', 10, ['5 fired']],
    ['all', 3, ['5 fired', '4 fired', '3 fired']],
    ['all', 10, ['5 fired', '4 fired', '3 fired', '2 fired', '1 fired', '0 fired']],
  ] as const)('with %s (limit %i) are made up for so', async (policy, limit, expected) => {
    await put({ catchUp: { policy, limit } });
    nowMs = START + 5 * MINUTE + 45_000;
    await fire();
    expect(minutes(await fires())).toEqual(expected);
    expect(await jobs()).toHaveLength(expected.length);
    expect((await getSchedule(ledger.db, 'default', 'tick'))?.nextFireAtMs).toBe(START + 6 * MINUTE);
  });
});

describe('a fire while the last job goes on', () => {
  it('makes another job with allow', async () => {
    await put({ overlap: 'allow' });
    await fire();
    nowMs += MINUTE;
    await fire();
    expect((await jobs()).map((job) => job.status)).toEqual(['CREATED', 'CREATED']);
  });

  it('is passed over with skip, until that job ends', async () => {
    await put({ overlap: 'skip' });
    await fire();
    nowMs += MINUTE;
    expect(await fire()).toEqual({ fired: 0, skipped: 1, failed: 0 });
    const [job] = await jobs();
    await cancelJobs(ledger.db, 'default', [job?.id ?? '']);
    nowMs += MINUTE;
    expect(await fire()).toEqual({ fired: 1, skipped: 0, failed: 0 });
    expect(minutes(await fires())).toEqual(['2 fired', '1 skipped', '0 fired']);
  });

  it('cancels that job with replace', async () => {
    await put({ overlap: 'replace', catchUp: { policy: 'all', limit: 10 } });
    await fire();
    nowMs += 2 * MINUTE;
    expect(await fire()).toEqual({ fired: 1, skipped: 1, failed: 0 });
    expect((await jobs()).map((job) => job.status)).toEqual(['CREATED', 'CANCELLED']);
    expect(minutes(await fires())).toEqual(['2 fired', '1 skipped', '0 fired']);
  });
});

describe('a schedule that cannot be carried out', () => {
  it.each([
    ['an unknown type', { job: { type: 'nothing', input: 1 } }, /^UnknownType/],
    ['a type that works on a file', { job: { type: 'develop', input: 1 } }, /^InvalidInput.*needs a file/],
    ['an input that its type refuses', { job: { type: 'echo', input: 'bad' } }, /^InvalidInput.*is bad/],
  ])('for %s says so in its history and goes on', async (_, spec, detail) => {
    await put(spec);
    await put({}, 'other');
    expect(await fire()).toEqual({ fired: 1, skipped: 0, failed: 1 });
    const [failed] = await fires();
    expect(failed).toMatchObject({ outcome: 'failed', jobId: null });
    expect(failed?.detail).toMatch(detail);
    expect((await getSchedule(ledger.db, 'default', 'tick'))?.nextFireAtMs).toBe(START + MINUTE);
  });

  it('for a spec that cannot be read stops', async () => {
    await put({ every: 'often' });
    expect(await fire()).toEqual({ fired: 0, skipped: 0, failed: 1 });
    expect((await fires())[0]?.detail).toMatch(/^InvalidSchedule: \/every/);
    expect((await getSchedule(ledger.db, 'default', 'tick'))?.nextFireAtMs).toBeNull();
  });
});
