import { stringify } from 'csv-stringify/sync';
import type { MeterReading } from '../core/meter-reading.ts';
import type { Queryable } from '../ledger/database.ts';
import { listMonth } from '../ledger/meter-readings.ts';
import { iso } from './iso.ts';

const HEADER = [
  ...['meterId', 'value', 'readAt', 'zone', 'source', 'id', 'day', 'status', 'reason'],
  ...['previous', 'consumption', 'rolledOver', 'cost', 'currency', 'receivedAt', 'judgedAt'],
];
const PAGE = 2_000;
const LOWEST_ID = '00000000-0000-0000-0000-000000000000';

/** All readings of a month (`YYYY-MM`) as CSV, a page at a time. Its first five columns are what an import takes. */
export async function* exportMonth(
  query: <T>(work: (db: Queryable) => Promise<T>) => Promise<T>,
  namespace: string,
  month: string,
): AsyncGenerator<string> {
  yield `${HEADER.join(',')}\n`;
  let afterId = LOWEST_ID;
  for (;;) {
    const page = await query((db) => listMonth(db, namespace, month, { limit: PAGE, afterId }));
    if (page.length > 0) yield stringify(page.map(toRow));
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    afterId = last.id;
  }
}

function toRow(reading: MeterReading): (string | number | null)[] {
  return [
    ...[reading.meterId, reading.value, iso(reading.readAtMs), reading.zone, reading.source, reading.id],
    ...[reading.day, reading.status, reading.reason, reading.previous, reading.consumption],
    reading.rolledOver === null ? null : String(reading.rolledOver),
    ...[reading.cost, reading.currency, iso(reading.receivedAtMs), iso(reading.judgedAtMs)],
  ];
}
