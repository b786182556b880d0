import { LongshoreError } from '../core/errors.ts';
import type { NewReading } from '../core/meter-reading.ts';
import { type Database, type Queryable, withTransaction } from './database.ts';
import { retrySerialization } from './serialization.ts';
import { insertReadings, type StoredReading } from './store-readings.ts';

/** How far a file of readings was read. */
export interface ReadingImport {
  namespace: string;
  name: string;
  state: 'running' | 'done' | 'failed';
  /** Its delimiter, then its columns. */
  columns: string[];
  bytes: number;
  lines: number;
  stored: number;
  existing: number;
  refused: number;
  /** SHA-256 of the first bytes of the file, hex; null when it came over REST. */
  headSha256: string | null;
  error: string | null;
  startedAtMs: number;
  updatedAtMs: number;
}

/** A row that was not stored. */
export interface RefusedRow {
  line: number;
  code: string;
  detail: string;
}

interface ImportRow extends Omit<ReadingImport, 'headSha256' | 'startedAtMs' | 'updatedAtMs'> {
  head_sha256: string | null;
  started_at: Date;
  updated_at: Date;
}

const COLUMNS =
  'namespace, name, state, columns, bytes, lines, stored, existing, refused, head_sha256, error, started_at, updated_at';

function toImport({ head_sha256, started_at, updated_at, ...row }: ImportRow): ReadingImport {
  return {
    ...row,
    headSha256: head_sha256,
    startedAtMs: started_at.getTime(),
    updatedAtMs: updated_at.getTime(),
  };
}

export async function getReadingImport(
  db: Queryable,
  namespace: string,
  name: string,
): Promise<ReadingImport | null> {
  const { rows } = await db.query<ImportRow>(
    `/* reading-import */ select ${COLUMNS} from meter_reading_imports where namespace = $1 and name = $2`,
    [namespace, name],
  );
  return rows[0] === undefined ? null : toImport(rows[0]);
}

/** Begins a file at its first byte, also one of a name that was there before. */
export async function startReadingImport(
  db: Database,
  { namespace, name }: { namespace: string; name: string },
  headSha256: string | null,
): Promise<void> {
  await retrySerialization(() =>
    withTransaction(db, async (client) => {
      await client.query(
        `/* start-import */ insert into meter_reading_imports (namespace, name, columns, head_sha256) values ($1, $2, '{}', $3)
         on conflict (namespace, name) do update set state = 'running', columns = '{}', bytes = 0, lines = 0, stored = 0,
           existing = 0, refused = 0, head_sha256 = excluded.head_sha256, error = null, started_at = now(), updated_at = now()`,
        [namespace, name, headSha256],
      );
      await client.query(
        `/* start-import */ delete from meter_reading_import_refusals where namespace = $1 and name = $2`,
        [namespace, name],
      );
    }),
  );
}

/** Somebody else reads a file of the same name into the ledger: this run has stopped. */
export class ImportTakenOverError extends LongshoreError {
  constructor(name: string) {
    super('ImportTakenOver', `Another run imports a file of the name ${name}: this one has stopped`);
  }
}

/** What one block of a file came to. */
export interface ImportedBlock {
  columns: string[];
  /** How far the file was saved before. */
  fromBytes: number;
  bytes: number;
  lines: number;
  /** Readings with the lines that they are from. */
  rows: { line: number; reading: NewReading }[];
  refused: RefusedRow[];
}

/** Refused rows of a file that the ledger keeps; all of them are counted. */
export const MAX_KEPT_REFUSALS = 10_000;

/**
 * Stores a block and how far the file is in one transaction, so that after a crash it goes on with the very next line.
 *
 * @param onRefused - Called with all refused rows of the block, those that the ledger refused too, before they are
 *   committed; again when the block is tried again.
 * @throws ImportTakenOverError when the file is not where the block begins any more.
 */
export async function saveImportedBlock(
  db: Database,
  file: { namespace: string; name: string },
  block: ImportedBlock,
  toRefusal: (line: number, stored: Extract<StoredReading, { outcome: 'refused' }>) => RefusedRow,
  onRefused: (rows: readonly RefusedRow[]) => Promise<void>,
): Promise<void> {
  await retrySerialization(() =>
    withTransaction(db, async (client) => {
      const outcomes = await insertReadings(
        client,
        block.rows.map(({ reading }) => reading),
      );
      const refused = outcomes.flatMap((one, index) =>
        one.outcome === 'refused' ? [toRefusal(block.rows[index]?.line ?? 0, one)] : [],
      );
      const all = [...block.refused, ...refused].toSorted((a, b) => a.line - b.line);
      const count = (outcome: StoredReading['outcome']) =>
        outcomes.filter((one) => one.outcome === outcome).length;
      const { rows } = await client.query<{ refused: number }>(
        `/* save-import */ update meter_reading_imports set columns = $3, bytes = $4, lines = $5, stored = stored + $6,
           existing = existing + $7, refused = refused + $8, updated_at = now()
         where namespace = $1 and name = $2 and state = 'running' and bytes = $9 returning refused`,
        [
          file.namespace,
          file.name,
          block.columns,
          block.bytes,
          block.lines,
          count('stored'),
          count('existing'),
          all.length,
          block.fromBytes,
        ],
      );
      if (rows[0] === undefined) throw new ImportTakenOverError(file.name);
      const before = rows[0].refused - all.length;
      await keepRefusals(client, file, all.slice(0, Math.max(0, MAX_KEPT_REFUSALS - before)));
      await onRefused(all);
    }),
  );
}

async function keepRefusals(
  db: Queryable,
  { namespace, name }: { namespace: string; name: string },
  refused: readonly RefusedRow[],
): Promise<void> {
  if (refused.length === 0) return;
  await db.query(
    `/* import-refusals */ insert into meter_reading_import_refusals (namespace, name, line, code, detail)
     select $1, $2, s.line, s.code, s.detail from unnest($3::bigint[], $4::text[], $5::text[]) as s(line, code, detail)
     on conflict (namespace, name, line) do nothing`,
    [namespace, name, refused.map((r) => r.line), refused.map((r) => r.code), refused.map((r) => r.detail)],
  );
}

export async function endReadingImport(
  db: Queryable,
  file: { namespace: string; name: string },
  error: string | null,
): Promise<void> {
  await retrySerialization(() =>
    db.query(
      `/* end-import */ update meter_reading_imports set state = $3, error = $4, updated_at = now() where namespace = $1 and name = $2`,
      [file.namespace, file.name, error === null ? 'done' : 'failed', error],
    ),
  );
}

/** Kept refusals after a line, in order. */
export async function listImportRefusals(
  db: Queryable,
  file: { namespace: string; name: string },
  page: { afterLine: number; limit: number },
): Promise<RefusedRow[]> {
  const { rows } = await db.query<RefusedRow>(
    `/* list-import-refusals */ select line, code, detail from meter_reading_import_refusals
     where namespace = $1 and name = $2 and line > $3 order by line limit $4`,
    [file.namespace, file.name, page.afterLine, page.limit],
  );
  return rows;
}
