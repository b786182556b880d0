import type { Queryable } from './database.ts';
import { retrySerialization } from './serialization.ts';

export interface Customer {
  id: string;
  name: string;
}

export interface Meter {
  id: string;
  customerId: string;
  tariff: string;
  /** `total` alone, or the zones of the day. */
  zones: string[];
  digits: number;
  /** Whether the register goes on at 0 after its highest value. */
  rollsOver: boolean;
  /** The most that it can use in a day. */
  maxPerDay: number;
}

export interface Tariff {
  name: string;
  zone: string;
  /** `YYYY-MM-DD`. */
  validFrom: string;
  /** Of one unit, exact decimal. */
  price: string;
  currency: string;
}

/** Where a register stands. */
export interface Register {
  zone: string;
  value: number;
  day: string;
}

/** Writes customers; one that is there gets the new name. */
export async function putCustomers(
  db: Queryable,
  namespace: string,
  customers: readonly Customer[],
): Promise<void> {
  await retrySerialization(() =>
    db.query(
      `/* customers */ insert into customers (namespace, id, name)
       select $1, s.id, s.name from unnest($2::text[], $3::text[]) as s(id, name) order by s.id
       on conflict (namespace, id) do update set name = excluded.name`,
      [namespace, customers.map((c) => c.id), customers.map((c) => c.name)],
    ),
  );
}

/** Writes meters; one that is there is changed, and its registers stay. */
export async function putMeters(db: Queryable, namespace: string, meters: readonly Meter[]): Promise<void> {
  await retrySerialization(() =>
    db.query(
      `/* meters */ insert into meters (namespace, id, customer_id, tariff, zones, digits, rolls_over, max_per_day)
       select $1, s.id, s.customer_id, s.tariff, string_to_array(s.zones, ' '), s.digits, s.rolls_over, s.max_per_day
       from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::boolean[], $8::integer[])
         as s(id, customer_id, tariff, zones, digits, rolls_over, max_per_day) order by s.id
       on conflict (namespace, id) do update set customer_id = excluded.customer_id, tariff = excluded.tariff,
         zones = excluded.zones, digits = excluded.digits, rolls_over = excluded.rolls_over, max_per_day = excluded.max_per_day`,
      [
        namespace,
        meters.map((m) => m.id),
        meters.map((m) => m.customerId),
        meters.map((m) => m.tariff),
        meters.map((m) => m.zones.join(' ')),
        meters.map((m) => m.digits),
        meters.map((m) => m.rollsOver),
        meters.map((m) => m.maxPerDay),
      ],
    ),
  );
}

/** Of the customers and tariffs that meters name those that there are. */
export async function findReferences(
  db: Queryable,
  namespace: string,
  meters: readonly Pick<Meter, 'customerId' | 'tariff'>[],
): Promise<{ customers: Set<string>; tariffs: Set<string> }> {
  const { rows } = await db.query<{ customer: string | null; tariff: string | null }>(
    `/* meter-references */ select id as customer, null as tariff from customers where namespace = $1 and id = any ($2)
     union all select distinct null, name from tariffs where namespace = $1 and name = any ($3)`,
    [
      namespace,
      [...new Set(meters.map(({ customerId }) => customerId))],
      [...new Set(meters.map(({ tariff }) => tariff))],
    ],
  );
  return {
    customers: new Set(rows.flatMap(({ customer }) => customer ?? [])),
    tariffs: new Set(rows.flatMap(({ tariff }) => tariff ?? [])),
  };
}

/** Writes prices; the one of a tariff, zone and day that is there is changed. Costs computed before stay. */
export async function putTariffs(
  db: Queryable,
  namespace: string,
  tariffs: readonly Tariff[],
): Promise<void> {
  await retrySerialization(() =>
    db.query(
      `/* tariffs */ insert into tariffs (namespace, name, zone, valid_from, price, currency)
       select $1, s.name, s.zone, s.valid_from, s.price, s.currency
       from unnest($2::text[], $3::text[], $4::date[], $5::numeric[], $6::text[]) as s(name, zone, valid_from, price, currency)
       order by s.name, s.zone, s.valid_from
       on conflict (namespace, name, zone, valid_from) do update set price = excluded.price, currency = excluded.currency`,
      [
        namespace,
        tariffs.map((t) => t.name),
        tariffs.map((t) => t.zone),
        tariffs.map((t) => t.validFrom),
        tariffs.map((t) => t.price),
        tariffs.map((t) => t.currency),
      ],
    ),
  );
}

/** A meter with where its registers stand, by zone; null when there is none. */
export async function getMeter(
  db: Queryable,
  namespace: string,
  id: string,
): Promise<(Meter & { registers: Register[] }) | null> {
  const { rows } = await db.query<Meter & { registers: Register[] | null }>({
    name: 'meter',
    text: `/* meter */ select m.id, m.customer_id as "customerId", m.tariff, m.zones, m.digits, m.rolls_over as "rollsOver",
       m.max_per_day as "maxPerDay",
       (select jsonb_agg(jsonb_build_object('zone', g.zone, 'value', g.value, 'day', g.day) order by g.zone)
         from meter_registers g where g.namespace = m.namespace and g.meter_id = m.id) as registers
     from meters m where m.namespace = $1 and m.id = $2`,
    values: [namespace, id],
  });
  const row = rows[0];
  return row === undefined ? null : { ...row, registers: row.registers ?? [] };
}
