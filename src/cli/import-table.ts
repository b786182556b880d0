import { createReadStream } from 'node:fs';
import { z } from 'zod';
import { type CsvLine, readCsvBlocks } from '../api/csv-blocks.ts';
import { meterId, zone } from '../api/reading-schemas.ts';
import { TOTAL_ZONE } from '../core/meter-reading.ts';
import type { Database } from '../ledger/database.ts';
import { findReferences, putCustomers, putMeters, putTariffs } from '../ledger/meters.ts';
import type { RefusedRow } from '../ledger/reading-imports.ts';
import type { RefusalReport } from './refusal-report.ts';

const name = z.string().regex(/^[^\p{Cc}]{1,200}$/u, { error: 'must be 1 to 200 characters' });
const flag = z.enum(['true', 'false']).transform((text) => text === 'true');
const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, { error: 'must be a whole number' })
    .transform(Number)
    .refine((value) => value >= min && value <= max, { error: `must be from ${min} to ${max}` });
const zones = z
  .string()
  .transform((text) => text.split(' '))
  .pipe(z.array(zone).min(1).max(8));

interface Table {
  required: readonly string[];
  optional: readonly string[];
  put(db: Database, namespace: string, rows: readonly Record<string, string>[]): Promise<void>;
  row: z.ZodType;
  /** The rows that name what is not there. */
  check(db: Database, namespace: string, rows: readonly Line[]): Promise<RefusedRow[]>;
}

interface Line {
  line: number;
  value: Record<string, string>;
}

function table<Row>(
  columns: Pick<Table, 'required' | 'optional'>,
  row: z.ZodType<Row>,
  put: (db: Database, namespace: string, rows: readonly Row[]) => Promise<void>,
  check: Table['check'] = async () => [],
): Table {
  return { ...columns, row, put: put as Table['put'], check };
}

/** What can be imported beside readings. A later row with the same key takes the place of an earlier one. */
export const TABLES = {
  customers: table(
    { required: ['id', 'name'], optional: [] },
    z.object({ id: meterId, name }),
    (db, namespace, rows) =>
      putCustomers(
        db,
        namespace,
        lastOf(rows, (row) => row.id),
      ),
  ),
  meters: table(
    { required: ['id', 'customerId', 'tariff'], optional: ['zones', 'digits', 'rollsOver', 'maxPerDay'] },
    z.object({
      id: meterId,
      customerId: meterId,
      tariff: meterId,
      zones: zones.default([TOTAL_ZONE]),
      digits: whole(3, 9).default(6),
      rollsOver: flag.default(true),
      maxPerDay: whole(1, 1_000_000).default(200),
    }),
    (db, namespace, rows) =>
      putMeters(
        db,
        namespace,
        lastOf(rows, (row) => row.id),
      ),
    checkMeters,
  ),
  tariffs: table(
    { required: ['name', 'validFrom', 'price', 'currency'], optional: ['zone'] },
    z.object({
      name: meterId,
      zone: zone.default(TOTAL_ZONE),
      validFrom: z.iso.date(),
      price: z
        .string()
        .regex(/^\d{1,6}(\.\d{1,6})?$/, { error: 'must be a decimal with at most six places' }),
      currency: z.string().regex(/^[A-Z]{3}$/, { error: 'must be three capital letters' }),
    }),
    (db, namespace, rows) =>
      putTariffs(
        db,
        namespace,
        lastOf(rows, (row) => `${row.name} ${row.zone} ${row.validFrom}`),
      ),
  ),
} satisfies Record<string, Table>;

export type TableKind = keyof typeof TABLES;

/** A meter of nobody would have no bill, and one without a tariff no cost. */
async function checkMeters(db: Database, namespace: string, rows: readonly Line[]): Promise<RefusedRow[]> {
  const known = await findReferences(
    db,
    namespace,
    rows.map(({ value }) => value as { customerId: string; tariff: string }),
  );
  return rows.flatMap(({ line, value: { customerId = '', tariff = '' } }) => {
    if (!known.customers.has(customerId))
      return [
        {
          line,
          code: 'UnknownCustomer',
          detail: `There is no customer ${customerId}: import customers first`,
        },
      ];
    if (!known.tariffs.has(tariff))
      return [{ line, code: 'UnknownTariff', detail: `There is no tariff ${tariff}: import tariffs first` }];
    return [];
  });
}

function lastOf<Row>(rows: readonly Row[], keyOf: (row: Row) => string): Row[] {
  return [...new Map(rows.map((row) => [keyOf(row), row])).values()];
}

/** Writes the rows of a file, a block at a time; doing it twice is the same as once. */
export async function importTable(
  db: Database,
  namespace: string,
  kind: TableKind,
  file: string,
  report: RefusalReport,
): Promise<{ written: number; refused: number }> {
  const { required, optional, row, put, check }: Table = TABLES[kind];
  const counts = { written: 0, refused: 0 };
  for await (const block of readCsvBlocks(createReadStream(file), { required, optional })) {
    const parsed = block.lines.map((line) => ({ line: line.line, ...parseRow(line, row) }));
    const good = parsed.flatMap(({ line, value }) => (value === undefined ? [] : [{ line, value }]));
    const bad = parsed.flatMap(({ line, problem }) =>
      problem === undefined ? [] : [{ line, code: 'BadRow', detail: problem }],
    );
    const wrong = await check(db, namespace, good);
    await report.write([...bad, ...wrong].toSorted((a, b) => a.line - b.line));
    report.keep();
    const refused = new Set(wrong.map(({ line }) => line));
    const rows = good.flatMap(({ line, value }) => (refused.has(line) ? [] : [value]));
    if (rows.length > 0) await put(db, namespace, rows);
    counts.written += rows.length;
    counts.refused += bad.length + wrong.length;
  }
  return counts;
}

function parseRow(line: CsvLine, row: z.ZodType): { value?: Record<string, string>; problem?: string } {
  if (line.cells === null) return { problem: line.problem };
  // An empty cell is one that says nothing.
  const cells = Object.fromEntries(Object.entries(line.cells).filter(([, cell]) => cell !== ''));
  const parsed = row.safeParse(cells);
  if (parsed.success) return { value: parsed.data as Record<string, string> };
  const [issue] = parsed.error.issues;
  return { problem: `${issue?.path.join('.')}: ${issue?.message}` };
}
