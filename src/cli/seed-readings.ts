import type { Database } from '../ledger/database.ts';
import { type Meter, putCustomers, putMeters, putTariffs } from '../ledger/meters.ts';

const BATCH = 10_000;
const ZONES = [['total'], ['total'], ['total'], ['day', 'night']];

/** Customers `CUSTOMER-1` … with one meter each, `METER-1` …: every fourth has two zones. */
export async function seedReadings(db: Database, namespace: string, count: number): Promise<void> {
  await putTariffs(db, namespace, [
    { name: 'home', zone: 'total', validFrom: '2020-01-01', price: '4.32', currency: 'UAH' },
    { name: 'home', zone: 'day', validFrom: '2020-01-01', price: '4.32', currency: 'UAH' },
    { name: 'home', zone: 'night', validFrom: '2020-01-01', price: '2.16', currency: 'UAH' },
  ]);
  for (let from = 1; from <= count; from += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, count - from + 1) }, (_, n) => from + n);
    await putCustomers(
      db,
      namespace,
      numbers.map((n) => ({ id: `CUSTOMER-${n}`, name: `Customer ${n}` })),
    );
    await putMeters(
      db,
      namespace,
      numbers.map(
        (n): Meter => ({
          id: `METER-${n}`,
          customerId: `CUSTOMER-${n}`,
          tariff: 'home',
          zones: ZONES[n % ZONES.length] ?? ['total'],
          digits: 6,
          rollsOver: true,
          maxPerDay: 200,
        }),
      ),
    );
  }
}
