import {
  dayOfReading,
  type MeterReading,
  type ReadingRefusal,
  type ReadingStatus,
} from '../core/meter-reading.ts';
import type { Queryable } from './database.ts';

interface ReadingRow {
  id: string;
  day: string;
  namespace: string;
  meter_id: string;
  zone: string;
  value: number;
  read_at: Date;
  source: string;
  status: ReadingStatus;
  reason: ReadingRefusal | null;
  previous: number | null;
  consumption: number | null;
  rolled_over: boolean | null;
  cost: string | null;
  currency: string | null;
  received_at: Date;
  judged_at: Date | null;
}

const COLUMNS = `id, day::text as day, namespace, meter_id, zone, value, read_at, source, status, reason, previous, consumption,
  rolled_over, cost::text as cost, currency, received_at, judged_at`;

function toReading(row: ReadingRow): MeterReading {
  return {
    id: row.id,
    day: row.day,
    namespace: row.namespace,
    meterId: row.meter_id,
    zone: row.zone,
    value: row.value,
    readAtMs: row.read_at.getTime(),
    source: row.source,
    status: row.status,
    reason: row.reason,
    previous: row.previous,
    consumption: row.consumption,
    rolledOver: row.rolled_over,
    cost: row.cost,
    currency: row.currency,
    receivedAtMs: row.received_at.getTime(),
    judgedAtMs: row.judged_at?.getTime() ?? null,
  };
}

export async function getReading(db: Queryable, namespace: string, id: string): Promise<MeterReading | null> {
  const day = dayOfReading(id);
  if (day === null) return null;
  const { rows } = await db.query<ReadingRow>({
    name: 'reading',
    text: `/* reading */ select ${COLUMNS} from meter_readings where id = $1 and day = $2 and namespace = $3`,
    values: [id, day, namespace],
  });
  return rows[0] === undefined ? null : toReading(rows[0]);
}

/** A page of a meter's readings, the newest first; `beforeId` is the last of the page before. */
export async function listReadings(
  db: Queryable,
  meter: { namespace: string; id: string },
  page: { limit: number; beforeId: string | null },
): Promise<MeterReading[]> {
  const { beforeId } = page;
  const { rows } = await db.query<ReadingRow>({
    name: beforeId === null ? 'readings' : 'readings-before',
    text: `/* readings */ select ${COLUMNS} from meter_readings where namespace = $1 and meter_id = $2
       ${beforeId === null ? '' : 'and (day, read_at, id) < ($4::date, (select read_at from meter_readings where id = $5 and day = $4), $5::uuid)'}
     order by day desc, read_at desc, id desc limit $3`,
    values: [
      meter.namespace,
      meter.id,
      page.limit,
      ...(beforeId === null ? [] : [dayOfReading(beforeId), beforeId]),
    ],
  });
  return rows.map(toReading);
}

/** What one register used in a month. */
export interface BillLine {
  zone: string;
  readings: number;
  /** What the register showed before the month's first accepted reading; null when that was its first of all. */
  from: number | null;
  to: number;
  consumption: number;
  /** Exact decimal; null when a reading of the line has no price, or when they are in several currencies. */
  cost: string | null;
  currency: string | null;
}

/** The lines of a month's bill (`YYYY-MM`), by zone, from accepted readings alone. */
export async function readBill(
  db: Queryable,
  meter: { namespace: string; id: string },
  month: string,
): Promise<{ lines: BillLine[]; waiting: number }> {
  const { rows } = await db.query<BillLine & { waiting: number }>({
    name: 'bill',
    text: `/* bill */ with month as materialized (
       select zone, day, read_at, id, status, previous, value, consumption, cost, currency from meter_readings
       where namespace = $1 and meter_id = $2 and day >= $3::date and day < ($3::date + interval '1 month')::date
     )
     select zone, count(*) filter (where status = 'ACCEPTED')::integer as readings,
       (array_agg(previous order by read_at, value) filter (where status = 'ACCEPTED'))[1] as "from",
       (array_agg(value order by read_at desc, value desc) filter (where status = 'ACCEPTED'))[1] as "to",
       coalesce(sum(consumption) filter (where status = 'ACCEPTED'), 0)::bigint as consumption,
       case when bool_and(cost is not null) filter (where status = 'ACCEPTED') and min(currency) = max(currency)
         then sum(cost) filter (where status = 'ACCEPTED') end::text as cost,
       case when min(currency) = max(currency) then max(currency) end as currency, count(*) filter (where status = 'RECEIVED')::integer as waiting
     from month group by zone order by zone`,
    values: [meter.namespace, meter.id, `${month}-01`],
  });
  const lines = rows.filter(({ readings }) => readings > 0).map(({ waiting: _, ...line }) => line);
  return { lines, waiting: rows.reduce((sum, { waiting }) => sum + waiting, 0) };
}

/** A page of all readings of a month (`YYYY-MM`), in the order of their ids. */
export async function listMonth(
  db: Queryable,
  namespace: string,
  month: string,
  page: { limit: number; afterId: string },
): Promise<MeterReading[]> {
  const { rows } = await db.query<ReadingRow>(
    `/* readings-of-month */ select ${COLUMNS} from meter_readings
     where day >= $2::date and day < ($2::date + interval '1 month')::date and namespace = $1 and id > $3
     order by id limit $4`,
    [namespace, `${month}-01`, page.afterId, page.limit],
  );
  return rows.map(toReading);
}
