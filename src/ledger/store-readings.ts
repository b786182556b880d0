import { uuidv7 } from '../core/ids.ts';
import type { NewReading, StoringRefusal } from '../core/meter-reading.ts';
import { MAX_RANGE_READINGS } from '../core/reading-ranges.ts';
import type { Database, Queryable } from './database.ts';
import { retrySerialization } from './serialization.ts';

/** An `Idempotency-Key` with what it stands for. */
export interface ReadingKey {
  key: string;
  /** Of the canonical body, hex. */
  bodySha256: string;
}

/** Names a key of a namespace among those of all. */
export function nameOfKey(namespace: string, key: string): string {
  return `${namespace} ${key}`;
}

/** A reading to store. */
export interface SentReading {
  reading: NewReading;
  key: ReadingKey | null;
  /** Makes the reading that was meant by the first request with the key, from the moment of that request. */
  at(readAtMs: number): NewReading;
  traceparent: string | null;
}

/** What became of one reading. */
export type StoredReading =
  /** `existing`: the same reading was there already. */
  | { outcome: 'stored' | 'existing'; id: string }
  /** Nothing was stored. `zones` and `digits` are those of the meter. */
  | { outcome: 'refused'; refusal: StoringRefusal; zones: string[]; digits: number }
  /** The key stands for another request. */
  | { outcome: 'conflict' };

export interface StoreOptions {
  /** Keeps readings that would be refused, as REFUSED: their sender was told that they are durable. Defaults to false. */
  keepRefused?: boolean;
  /** Stores nothing when one reading is refused. Defaults to false. */
  allOrNone?: boolean;
}

interface StoreRow {
  /** As PostgreSQL writes an array of them: `{a,b}`; null for none. */
  stored: string | null;
  refused: { id: string; refusal: StoringRefusal; zones: string[] | null; digits: number | null }[] | null;
}

/**
 * Arrays whose lengths the planner cannot see: a plan for one row looks so much cheaper to it than the one for any number
 * that it would make one at every call, which takes twice as long as the insert.
 */
const hidden = (...parameters: string[]) => parameters.map((parameter) => `(select ${parameter})`).join(', ');

/**
 * Answers the readings that were stored, and those that are refused; the others were there already. Nothing is joined with
 * what was inserted: the plan, made once, must be right for one reading and for thousands.
 *
 * One statement for any number of readings: judged against their meters, inserted in order of id so that two statements
 * never wait for each other, and noted as a batch that waits for a range.
 */
const STORE = `/* store-readings */ with sent as (
    select id, meter_id, zone, day, value, to_timestamp(read_at_ms::double precision / 1000) as read_at, source,
      ($8::uuid[])[batch] as batch_id, ($9::text[])[batch] as namespace
    from unnest(${hidden('$1::uuid[]', '$2::text[]', '$3::text[]', '$4::date[]', '$5::bigint[]', '$6::bigint[]', '$7::text[]', '$10::integer[]')})
      as s(id, meter_id, zone, day, value, read_at_ms, source, batch)
  ), checked as (
    select s.*, m.zones, m.digits, case when m.id is null then 'UnknownMeter' when s.zone <> all (m.zones) then 'UnknownZone'
      when length(s.value::text) > m.digits then 'TooManyDigits' end as refusal
    from sent s left join meters m on m.namespace = s.namespace and m.id = s.meter_id
  ), stored as (
    insert into meter_readings (id, day, namespace, meter_id, zone, value, read_at, source, batch_id, status, reason, judged_at)
    select id, day, namespace, meter_id, zone, value, read_at, source, batch_id,
      case when refusal is null then 'RECEIVED' else 'REFUSED' end, refusal, case when refusal is null then null else now() end
    from checked
    where (refusal is null or $11) and not ($12 and exists (select 1 from checked c where c.refusal is not null))
    order by id
    on conflict (id, day) do nothing
    returning id, namespace, batch_id, day, status
  ), noted as (
    insert into meter_reading_batches (id, namespace, readings, first_day, last_day, traceparent)
    select batch_id, namespace, count(*), min(day), max(day), $13 from stored where status = 'RECEIVED' group by batch_id, namespace
  )
  select (select array_agg(id) from stored)::text as stored,
    (select jsonb_agg(jsonb_build_object('id', id, 'refusal', refusal, 'zones', zones, 'digits', digits))
      from checked where refusal is not null and not $11) as refused`;

/** Stores readings; answers in their order. Repeating it is safe: an id is stored once, and a key stands for one reading. */
export function storeReadings(
  db: Database,
  sent: readonly SentReading[],
  options: StoreOptions = {},
): Promise<StoredReading[]> {
  return retrySerialization(() =>
    sent.some(({ key }) => key !== null)
      ? storeKeyed(db, sent, options)
      : insertReadings(
          db,
          sent.map(({ reading }) => reading),
          options,
          sent[0]?.traceparent ?? null,
        ),
  );
}

/** The same without keys, on whatever the caller has open. */
export async function insertReadings(
  db: Queryable,
  readings: readonly NewReading[],
  { keepRefused = false, allOrNone = false }: StoreOptions = {},
  traceparent: string | null = null,
): Promise<StoredReading[]> {
  if (readings.length === 0) return [];
  const { batches, batchOf } = toBatches(readings);
  const { rows } = await db.query<StoreRow>({
    name: 'store-readings',
    text: STORE,
    values: [
      toArray(readings.map((r) => r.id)),
      readings.map((r) => r.meterId),
      readings.map((r) => r.zone),
      toArray(readings.map((r) => r.day)),
      toArray(readings.map((r) => r.value)),
      toArray(readings.map((r) => r.readAtMs)),
      readings.map((r) => r.source),
      batches.map(({ id }) => id),
      batches.map(({ namespace }) => namespace),
      toArray(batchOf),
      keepRefused,
      allOrNone,
      traceparent,
    ],
  });
  const refused = new Map(rows[0]?.refused?.map((row) => [row.id, row]));
  const stored = new Set(rows[0]?.stored?.slice(1, -1).split(','));
  return readings.map(({ id }): StoredReading => {
    const { refusal, zones, digits } = refused.get(id) ?? {};
    if (refusal !== undefined)
      return { outcome: 'refused', refusal, zones: zones ?? [], digits: digits ?? 0 };
    // Of the same reading twice in one call the first is the one.
    return { outcome: stored.delete(id) ? 'stored' : 'existing', id };
  });
}

/** An array of PostgreSQL's, of values that need no quotes: the driver looks for some in every one. */
function toArray(values: readonly (string | number)[]): string {
  return `{${values.join(',')}}`;
}

interface Batch {
  id: string;
  namespace: string;
  readings: number;
}

/** The batches, one for each namespace and thousand, and for each reading the place of its own, from 1. */
function toBatches(readings: readonly NewReading[]): { batches: Batch[]; batchOf: number[] } {
  const batches: Batch[] = [];
  const open = new Map<string, number>();
  const batchOf = readings.map(({ namespace }) => {
    let place = open.get(namespace);
    if (place === undefined || batches[place - 1]?.readings === MAX_RANGE_READINGS) {
      place = batches.push({ id: uuidv7(), namespace, readings: 0 });
      open.set(namespace, place);
    }
    (batches[place - 1] as Batch).readings += 1;
    return place;
  });
  return { batches, batchOf };
}

const KEY_TTL = `interval '24 hours'`;

/**
 * First the keys, then the readings, each in one order everywhere: two statements never wait for each other. No transaction
 * around them: a key without its reading, after a crash in between, only says which reading will be stored under it.
 */
async function storeKeyed(
  db: Queryable,
  sent: readonly SentReading[],
  options: StoreOptions,
): Promise<StoredReading[]> {
  const held = await holdKeys(db, sent);
  const meant = sent.map(({ reading, key, at }): NewReading | null => {
    const holder = key === null ? undefined : held.get(nameOfKey(reading.namespace, key.key));
    if (key === null || holder === undefined) return reading;
    return holder.bodySha256 === key.bodySha256 ? at(holder.readAtMs) : null;
  });
  const stored = await insertReadings(
    db,
    meant.filter((reading) => reading !== null),
    options,
    sent[0]?.traceparent ?? null,
  );
  const answers = stored.values();
  return meant.map((reading) =>
    reading === null ? { outcome: 'conflict' } : (answers.next().value as StoredReading),
  );
}

interface KeyRow {
  namespace: string;
  key: string;
  body_sha256: string;
  read_at: Date;
}

/** Takes the keys that are free, and answers what every key stands for now. */
async function holdKeys(
  db: Queryable,
  sent: readonly SentReading[],
): Promise<Map<string, { bodySha256: string; readAtMs: number }>> {
  const keyed = new Map<string, SentReading>();
  for (const item of sent) {
    if (item.key === null) continue;
    const name = nameOfKey(item.reading.namespace, item.key.key);
    if (!keyed.has(name)) keyed.set(name, item);
  }
  const items = [...keyed.values()];
  const keys = [items.map((i) => i.reading.namespace), items.map((i) => i.key?.key)];
  const taken = await db.query<KeyRow>({
    name: 'take-reading-keys',
    text: `/* take-reading-keys */ insert into meter_reading_keys as k (namespace, key, body_sha256, read_at, expires_at)
      select s.namespace, s.key, s.body_sha256, s.read_at, now() + ${KEY_TTL}
      from unnest(${hidden('$1::text[]', '$2::text[]', '$3::text[]', '$4::timestamptz[]')}) as s(namespace, key, body_sha256, read_at)
      order by s.namespace, s.key
      on conflict (namespace, key) do update
        set body_sha256 = excluded.body_sha256, read_at = excluded.read_at, expires_at = excluded.expires_at
        where k.expires_at < now()
      returning namespace, key, body_sha256, read_at`,
    values: [
      ...keys,
      items.map((i) => i.key?.bodySha256),
      items.map((i) => new Date(i.reading.readAtMs).toISOString()),
    ],
  });
  const isAllTaken = taken.rows.length === items.length;
  const held = isAllTaken
    ? taken
    : await db.query<KeyRow>({
        name: 'held-reading-keys',
        text: `/* held-reading-keys */ select k.namespace, k.key, k.body_sha256, k.read_at
        from unnest($1::text[], $2::text[]) as s(namespace, key)
        join meter_reading_keys k on k.namespace = s.namespace and k.key = s.key`,
        values: keys,
      });
  return new Map(
    held.rows.map((row) => [
      nameOfKey(row.namespace, row.key),
      { bodySha256: row.body_sha256, readAtMs: row.read_at.getTime() },
    ]),
  );
}
