import { setImmediate } from 'node:timers/promises';
import {
  dayIn,
  MAX_READING_AHEAD_MS,
  MAX_READING_VALUE,
  type NewReading,
  readingId,
  TOTAL_ZONE,
} from '../core/meter-reading.ts';
import type { Database } from '../ledger/database.ts';
import {
  endReadingImport,
  getReadingImport,
  type ImportedBlock,
  type ReadingImport,
  type RefusedRow,
  saveImportedBlock,
  startReadingImport,
} from '../ledger/reading-imports.ts';
import type { StoredReading } from '../ledger/store-readings.ts';
import { type CsvBlock, CsvError, type CsvLine, readCsvBlocks } from './csv-blocks.ts';
import { meterId, source, zone } from './reading-schemas.ts';
import { REFUSAL_MESSAGES } from './reading-view.ts';

export interface ImportReadingsOptions {
  db: Database;
  namespace: string;
  name: string;
  /** The bytes of the file: all of them, or those from where `resume` begins. */
  content: AsyncIterable<Uint8Array>;
  /** The import as far as it came before it broke off; null begins at the first byte. */
  resume: ReadingImport | null;
  /** SHA-256 of the first bytes of the file, hex, by which a later run knows it again. Defaults to null. */
  headSha256?: string | null;
  timeZone: string;
  nowMs: number;
  signal?: AbortSignal;
  /** Called with the refused rows of a block before they are saved, and once more each time that saving is tried again. */
  onRefused?(rows: readonly RefusedRow[]): Promise<void>;
  /** Called when they are saved. */
  onProgress?(saved: { bytes: number; lines: number }): void;
}

/** Bytes and lines that are parsed at once: meanwhile nothing else happens in this process, the rows before are not even sent. */
const BLOCK_BYTES = 32 * 1_024;
const LINES_AT_ONCE = 250;
/** Rows that one transaction stores. */
const ROWS_AT_ONCE = 10_000;

const MIN_TIME_MS = Date.parse('2000-01-01T00:00:00Z');

/**
 * Stores the readings of a CSV file with the columns meterId, value and readAt, optionally zone and source. Some rows are
 * parsed while those before are stored, and no more: memory is the same for every size. Rejects with a {@link CsvError} for
 * a file that is no such CSV; the rows before that place are stored.
 */
export async function importReadings(options: ImportReadingsOptions): Promise<ReadingImport> {
  const { db, namespace, name, resume } = options;
  const file = { namespace, name };
  if (resume === null) await startReadingImport(db, file, options.headSha256 ?? null);
  const blocks = readCsvBlocks(options.content, {
    required: ['meterId', 'value', 'readAt'],
    optional: ['zone', 'source'],
    blockBytes: BLOCK_BYTES,
    ...(resume === null || resume.bytes === 0 ? {} : { from: resume }),
  });
  let saving: Promise<void> = Promise.resolve();
  try {
    for await (const block of parseBlocks(blocks, options)) {
      await saving;
      options.signal?.throwIfAborted();
      saving = save(options, block);
      // A failure is told by the next `await`; meanwhile it must not count as unhandled.
      saving.catch(() => {});
    }
    await saving;
    await endReadingImport(db, file, null);
  } catch (error) {
    await saving.catch(() => {});
    if (error instanceof CsvError) await endReadingImport(db, file, `${error.code}: ${error.message}`);
    throw error;
  }
  return (await getReadingImport(db, namespace, name)) as ReadingImport;
}

/** Joins blocks to what one transaction stores. */
async function* parseBlocks(
  blocks: AsyncIterable<CsvBlock>,
  options: ImportReadingsOptions,
): AsyncGenerator<ImportedBlock> {
  let held: ImportedBlock | null = null;
  try {
    for await (const block of blocks) {
      const parsed = await parseBlock(block, options);
      held = held === null ? parsed : join(held, parsed);
      if (held.rows.length + held.refused.length < ROWS_AT_ONCE) continue;
      yield held;
      held = null;
    }
  } catch (error) {
    // What came before the mistake, or before the line went dead, is stored.
    if (held !== null) yield held;
    throw error;
  }
  if (held !== null) yield held;
}

function join(first: ImportedBlock, second: ImportedBlock): ImportedBlock {
  return {
    ...second,
    fromBytes: first.fromBytes,
    rows: [...first.rows, ...second.rows],
    refused: [...first.refused, ...second.refused],
  };
}

async function save(options: ImportReadingsOptions, block: ImportedBlock): Promise<void> {
  const { db, namespace, name, onRefused, onProgress } = options;
  await saveImportedBlock(db, { namespace, name }, block, toRefusal, async (rows) => onRefused?.(rows));
  onProgress?.(block);
}

function toRefusal(line: number, { refusal }: Extract<StoredReading, { outcome: 'refused' }>): RefusedRow {
  return { line, code: refusal, detail: REFUSAL_MESSAGES[refusal] };
}

async function parseBlock(block: CsvBlock, options: ImportReadingsOptions): Promise<ImportedBlock> {
  const parsed: ImportedBlock = {
    columns: block.columns,
    fromBytes: block.bytes - block.content.length,
    bytes: block.bytes,
    lines: block.lastLine,
    rows: [],
    refused: [],
  };
  const times = new TimeParser(options.timeZone);
  for (const [index, line] of block.lines.entries()) {
    if (index % LINES_AT_ONCE === 0) await setImmediate();
    const reading = parseLine(line, options, times);
    if (typeof reading === 'string')
      parsed.refused.push({ line: line.line, code: 'BadRow', detail: reading });
    else parsed.rows.push({ line: line.line, reading });
  }
  return parsed;
}

/** The reading of a line, or what is wrong with it. */
function parseLine(
  { cells, problem }: CsvLine,
  { namespace, nowMs }: ImportReadingsOptions,
  times: TimeParser,
): NewReading | string {
  if (cells === null) return problem;
  const { meterId: meter = '', value: shown = '', readAt = '' } = cells;
  const [zoneName, sourceName] = [cells.zone || TOTAL_ZONE, cells.source || 'csv'];
  if (!meterId.safeParse(meter).success) return 'meterId is no name of a meter';
  if (!/^\d{1,9}$/.test(shown)) return `value must be a whole number from 0 to ${MAX_READING_VALUE}`;
  if (!zone.safeParse(zoneName).success) return 'zone is no name of a zone';
  if (!source.safeParse(sourceName).success) return 'source is no name of a source';
  const at = times.parse(readAt);
  if (at === null) return 'readAt must be a date such as 2030-01-20, or a time with its offset';
  if (at.readAtMs > nowMs + MAX_READING_AHEAD_MS) return 'readAt lies in the future';
  if (at.readAtMs < MIN_TIME_MS) return 'readAt lies before the year 2000';
  const reading = {
    namespace,
    meterId: meter,
    zone: zoneName,
    value: Number(shown),
    source: sourceName,
    ...at,
  };
  return { ...reading, id: readingId(reading) };
}

const DATE = /^\d{4}-\d{2}-\d{2}$/;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/;

/** Parses what it did not parse the moment before: files have the same day in many rows. */
class TimeParser {
  readonly #timeZone: string;
  #last: { text: string; at: { readAtMs: number; day: string } | null } = { text: '', at: null };

  constructor(timeZone: string) {
    this.#timeZone = timeZone;
  }

  parse(text: string): { readAtMs: number; day: string } | null {
    if (text !== this.#last.text) this.#last = { text, at: parseTime(text, this.#timeZone) };
    return this.#last.at;
  }
}

/** A date alone is that day where the meters are; its beginning in UTC stands for the moment. */
function parseTime(text: string, timeZone: string): { readAtMs: number; day: string } | null {
  const date = text.slice(0, 10);
  const midnightMs = DATE.test(date) ? Date.parse(`${date}T00:00:00Z`) : Number.NaN;
  // The 31st of February would be taken for a day of March.
  if (Number.isNaN(midnightMs) || new Date(midnightMs).toISOString().slice(0, 10) !== date) return null;
  if (text.length === 10) return { readAtMs: midnightMs, day: date };
  const readAtMs = TIME.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(readAtMs) ? null : { readAtMs, day: dayIn(timeZone, readAtMs) };
}
