import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keepRetention, type RetentionCounts } from '../../src/controller/retention.ts';
import { uuidv7Floor } from '../../src/core/ids.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { BlobWriter, listJobBlobs } from '../../src/ledger/blobs.ts';
import { cancelJobs, getJob } from '../../src/ledger/jobs.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';

const DAY = 24 * 3_600_000;

let ledger: TestLedger;
let ids: number;
beforeEach(async () => {
  ledger = await createTestLedger();
  ids = 0;
});
afterEach(() => ledger.close());

const keep = (batch = 1_000): Promise<RetentionCounts> =>
  keepRetention({
    db: ledger.db,
    retention: { jobDays: 30, blobDays: 7, rateDays: 2, rateMinuteDays: 30, rateHourDays: 730 },
    batch,
  });
const exists = async (id: string) => (await getJob(ledger.db, 'default', id)) !== null;
async function count(table: string): Promise<number> {
  return (await ledger.db.query(`select count(*) as n from ${table}`)).rows[0].n;
}
const makeWeek = (days: number) =>
  ledger.db.query(
    `select ensure_partitions(now() - make_interval(days => $1), now() - make_interval(days => $1 - 1))`,
    [days],
  );

/** A job that was accepted, and unless told otherwise ended, so many days ago. */
async function oldJob(days: number, endedDays: number | null = days, overrides = {}): Promise<string> {
  ids += 1;
  const id = uuidv7Floor(Date.now() - days * DAY).replace(/.{12}$/, String(ids).padStart(12, '0'));
  const uniqueKey = { scope: 'idempotency', key: id, bodySha256: 'b', ttlSeconds: 40 * 24 * 3_600 } as const;
  await acceptJobs(ledger.db, [newJob({ id, labels: { a: 'b' }, uniqueKey, ...overrides })]);
  if (endedDays !== null) {
    await cancelJobs(ledger.db, 'default', [id]);
    await ledger.db.query('update jobs set finished_at = now() - make_interval(days => $2) where id = $1', [
      id,
      endedDays,
    ]);
  }
  return id;
}

async function storeBlob(content: string): Promise<string> {
  const writer = new BlobWriter(ledger.db, 'default');
  await writer.write(Buffer.from(content));
  return (await writer.complete()).blobId;
}
const age = (blobId: string, text: string) =>
  ledger.db.query('update blobs set touched_at = now() - $2::interval where id = $1', [blobId, text]);

describe('old jobs', () => {
  it('go with their week when all of it has ended, and take everything with them', async () => {
    await makeWeek(60);
    const gone = [await oldJob(60), await oldJob(60)];
    const kept = await oldJob(20);
    expect(await keep()).toMatchObject({ weeksDropped: 1, jobs: 0, labels: 2 });
    expect(await Promise.all([...gone, kept].map(exists))).toEqual([false, false, true]);
    expect(await Promise.all(['events', 'unique_keys', 'job_labels'].map(count))).toEqual([2, 1, 1]);
    expect((await auditLedger(ledger.db)).filter((finding) => finding.verdict === 'broken')).toEqual([]);
  });

  it.each([
    ['goes on', null],
    ['ended lately', 2],
  ])('go one by one where a job of their week %s', async (_, endedDays) => {
    await makeWeek(60);
    const gone = [await oldJob(60), await oldJob(60), await oldJob(60)];
    const kept = await oldJob(60, endedDays);
    expect(await keep(2)).toMatchObject({ weeksDropped: 0, jobs: 3 });
    expect(await Promise.all([...gone, kept].map(exists))).toEqual([false, false, false, true]);
    expect(await Promise.all(['events', 'unique_keys', 'job_labels'].map(count))).toEqual([
      endedDays === null ? 1 : 2,
      1,
      1,
    ]);
  });

  it('that lie in no week of their own go, too', async () => {
    const gone = await oldJob(100);
    expect(await keep()).toMatchObject({ jobs: 1 });
    expect(await exists(gone)).toBe(false);
  });

  it('stay while a QueueJob shows them', async () => {
    await makeWeek(60);
    const shown = await oldJob(60);
    await ledger.db.query('update jobs set projected = true, in_window = true where id = $1', [shown]);
    expect(await keep()).toMatchObject({ weeksDropped: 0, jobs: 0 });
    expect(await exists(shown)).toBe(true);
  });

  it('wait for another round while their week is in use', async () => {
    await makeWeek(60);
    const job = await oldJob(60);
    const client = await ledger.db.connect();
    await client.query('begin');
    await client.query('select from jobs where id = $1 for update', [job]);
    expect(await keep()).toMatchObject({ weeksDropped: 0 });
    await client.query('rollback');
    client.release();
    expect(await keep()).toMatchObject({ weeksDropped: 1 });
  });
});

describe('blobs', () => {
  it('without an owner go after an hour', async () => {
    const [orphan, fresh, owned] = [await storeBlob('1'), await storeBlob('2'), await storeBlob('3')];
    await age(orphan, '61 minutes');
    await age(fresh, '59 minutes');
    await age(owned, '3 days');
    await acceptJobs(ledger.db, [
      newJob({ blobs: [{ blobId: owned, role: 'input', name: 'a', mediaType: 'text/plain' }] }),
    ]);
    expect(await keep()).toMatchObject({ orphanBlobs: 1 });
    const { rows } = await ledger.db.query('select id from blobs order by 1');
    expect(rows.map((row) => row.id)).toEqual([fresh, owned].sort());
    expect(await count('blob_chunks')).toBe(2);
  });

  it('go a week after the end of their last job, which still tells of them', async () => {
    const blobs = (blobId: string) => ({
      blobs: [{ blobId, role: 'input', name: 'photo.png', mediaType: 'image/png' }],
    });
    const [old, shared, running] = [
      await storeBlob('old'),
      await storeBlob('shared'),
      await storeBlob('running'),
    ];
    for (const blob of [old, shared, running]) await age(blob, '20 days');
    const job = await oldJob(10, 8, blobs(old));
    await oldJob(10, 8, blobs(shared));
    await oldJob(10, 6, blobs(shared));
    await oldJob(10, null, blobs(running));
    expect(await keep()).toMatchObject({ oldBlobs: 1 });
    expect(await count('blobs')).toBe(2);
    expect(await listJobBlobs(ledger.db, 'default', job, 'input')).toMatchObject([
      { name: 'photo.png', stored: false },
    ]);
  });
});

it('forgets what else is past its time, in batches', async () => {
  const webhook = { url: 'https://example.com/' };
  const jobs = Array.from({ length: 5 }, () => newJob({ webhook }));
  await acceptJobs(ledger.db, jobs);
  await cancelJobs(
    ledger.db,
    'default',
    jobs.map((job) => job.id),
  );
  await ledger.db.query(`update webhooks set delivered_at = now() - interval '8 days' where id % 2 = 0`);
  await ledger.db.query(`insert into unique_keys select 'default', 'idempotency', n::text, gen_random_uuid(), 'b',
    now() + make_interval(secs => n) from generate_series(-5, 3) n where n <> 0`);
  await ledger.db.query(`insert into worker_sessions (id, namespace, pool, types, concurrency, seen_at) values
    ('old', 'default', 'default', '{}', 1, now() - interval '2 hours'), ('new', 'default', 'default', '{}', 1, now())`);
  await ledger.db.query(`insert into schedule_fires (namespace, name, fire_at, outcome, decided_at) values
    ('default', 'a', now() - interval '40 days', 'fired', now() - interval '40 days'), ('default', 'a', now(), 'fired', now())`);
  expect(await keep(2)).toMatchObject({ webhooks: 2, uniqueKeys: 5, sessions: 1, fires: 1 });
  expect(
    await Promise.all(['webhooks', 'unique_keys', 'worker_sessions', 'schedule_fires'].map(count)),
  ).toEqual([3, 3, 1, 1]);
});

it('makes the partitions of the coming weeks', async () => {
  const { rows } = await ledger.db.query(
    `select to_char(date_trunc('week', now() at time zone 'UTC') + interval '14 days', 'YYYYMMDD') as day`,
  );
  const day = rows[0].day;
  for (const parent of ['jobs', 'attempts', 'events'])
    await ledger.db.query(`drop table if exists longshore.${parent}_${day}`);
  const { partitionsMade } = await keep();
  expect(partitionsMade).toBeGreaterThanOrEqual(3);
  expect(await keep()).toMatchObject({ partitionsMade: 0 });
});
