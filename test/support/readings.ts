import { setTimeout as sleep } from 'node:timers/promises';
import { cutReadingRanges, keepReadings } from '../../src/controller/reading-ranges.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { type NewReading, toNewReading } from '../../src/core/meter-reading.ts';
import type { Database } from '../../src/ledger/database.ts';
import { putMeters, putTariffs } from '../../src/ledger/meters.ts';
import { PeriodicService } from '../../src/lifecycle/service.ts';

/** A day up to the 20th of this month, or of last month until the 20th is over: never in the future. */
export function windowDay(dayOfMonth = 15): string {
  const now = new Date();
  const month = now.getUTCDate() > 20 ? now.getUTCMonth() : now.getUTCMonth() - 1;
  return new Date(Date.UTC(now.getUTCFullYear(), month, dayOfMonth)).toISOString().slice(0, 10);
}

/** Noon of {@link windowDay}. */
export const windowTime = (dayOfMonth = 15): string => `${windowDay(dayOfMonth)}T12:00:00.000Z`;

/** Meters `<prefix>1` … of one register, six digits, and a tariff of 4.32. */
export async function seedMeters(
  db: Database,
  count: number,
  { prefix = 'M-', namespace = 'default' }: { prefix?: string; namespace?: string } = {},
): Promise<void> {
  const meters = Array.from({ length: count }, (_, n) => ({
    id: `${prefix}${n + 1}`,
    customerId: `C-${n + 1}`,
    tariff: 'home',
    zones: ['total'],
    digits: 6,
    rollsOver: true,
    maxPerDay: 200,
  }));
  await putMeters(db, namespace, meters);
  await putTariffs(db, namespace, [
    { name: 'home', zone: 'total', validFrom: '2020-01-01', price: '4.32', currency: 'UAH' },
  ]);
}

export function newReading(meterId: string, value: number, overrides: Partial<NewReading> = {}): NewReading {
  const readAtMs = Date.parse(windowTime());
  const reading = {
    namespace: 'default',
    meterId,
    zone: 'total',
    value,
    readAtMs,
    source: 'test',
    ...overrides,
  };
  return toNewReading(reading, 'UTC');
}

/** The leader's services for readings, as the controller runs them, with a shorter repair. */
export function readingServices(db: Database): PeriodicService[] {
  const service = (name: string, intervalMs: number, runOnce: (signal: AbortSignal) => Promise<object>) =>
    new PeriodicService({ name, intervalMs, runOnce, logger: silentLogger });
  return [
    service('reading-ranges', 50, (signal) => cutReadingRanges(db, signal)),
    service('readings', 500, (signal) => keepReadings(db, signal)),
  ];
}

export interface Tally {
  readings: number;
  received: number;
  accepted: number;
  refused: number;
}

export async function countReadings(db: Database): Promise<Tally> {
  const { rows } = await db.query<Tally>(
    `select count(*)::integer as readings, count(*) filter (where status = 'RECEIVED')::integer as received,
       count(*) filter (where status = 'ACCEPTED')::integer as accepted,
       count(*) filter (where status = 'REFUSED')::integer as refused from meter_readings`,
  );
  return rows[0] as Tally;
}

/** Waits until every reading is judged; answers the counts. */
export async function untilJudged(db: Database, timeoutMs = 20_000): Promise<Tally> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const tally = await countReadings(db);
    if (tally.readings > 0 && tally.received === 0) return tally;
    if (performance.now() > deadline) throw new Error(`Not judged in time: ${JSON.stringify(tally)}`);
    await sleep(50);
  }
}
