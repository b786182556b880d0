import { type Options, parse } from 'csv-parse/sync';
import { LongshoreError } from '../core/errors.ts';

/** A file that cannot be read as what it should be. `code`: `WrongColumns`, `WrongEncoding`, `LineTooLong`. */
export class CsvError extends LongshoreError {}

/** A line of a file. */
export interface CsvLine {
  /** From 1; the header is line 1. */
  line: number;
  /** By the columns asked for; null when the line cannot be read. */
  cells: Record<string, string> | null;
  /** What is wrong, when `cells` is null. */
  problem: string;
  raw: string;
}

/** Some lines of a file, and where it goes on after them. */
export interface CsvBlock {
  lines: CsvLine[];
  /** Bytes of the file up to the end of this block. */
  bytes: number;
  /** Lines up to there. */
  lastLine: number;
  columns: string[];
  /** The bytes themselves. */
  content: Buffer;
}

export interface CsvOptions {
  required: readonly string[];
  optional: readonly string[];
  /** Continues a file whose header is known, after this many bytes and lines. */
  from?: { columns: string[]; bytes: number; lines: number };
  /** Defaults to 128 KiB. */
  blockBytes?: number;
}

const MAX_LINE_BYTES = 64 * 1_024;
const DELIMITERS = [',', ';', '\t'] as const;
const NEW_LINE = 0x0a;

/**
 * Reads a CSV file (RFC 4180; comma, semicolon or tab; a header) in blocks of whole lines, so that memory stays the same
 * whatever the file's size, and each block says at which byte to go on. A record is one line: a line whose quotes are wrong
 * spoils no other. A last line without its end may have been cut off, and is a problem.
 */
export async function* readCsvBlocks(
  source: AsyncIterable<Uint8Array>,
  options: CsvOptions,
): AsyncGenerator<CsvBlock> {
  const { blockBytes = 128 * 1_024 } = options;
  const reader = new BlockReader(options);
  let held: Buffer[] = [];
  let size = 0;
  for await (const chunk of source) {
    held.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    size += chunk.byteLength;
    if (size < blockBytes) continue;
    const bytes = Buffer.concat(held);
    const end = bytes.lastIndexOf(NEW_LINE) + 1;
    if (bytes.length - end > MAX_LINE_BYTES) throw reader.tooLong();
    if (end > 0) yield reader.read(bytes.subarray(0, end));
    // A copy: the block must not be held by what is left of it.
    held = [Buffer.from(bytes.subarray(end))];
    size = bytes.length - end;
  }
  const bytes = Buffer.concat(held);
  const end = bytes.lastIndexOf(NEW_LINE) + 1;
  if (end > 0) yield reader.read(bytes.subarray(0, end));
  if (end < bytes.length) yield reader.cutOff(bytes.subarray(end));
  reader.requireHeader();
}

class BlockReader {
  readonly #options: CsvOptions;
  #columns: string[] | undefined;
  #delimiter: string = ',';
  #bytes: number;
  #lines: number;

  constructor(options: CsvOptions) {
    this.#options = options;
    this.#bytes = options.from?.bytes ?? 0;
    this.#lines = options.from?.lines ?? 0;
    if (options.from !== undefined) {
      const [delimiter = ',', ...columns] = options.from.columns;
      this.#delimiter = delimiter;
      this.#columns = columns;
    }
  }

  read(content: Buffer): CsvBlock {
    const texts = content.toString('utf8').split('\n').slice(0, -1);
    const first = this.#lines + 1;
    const records = this.#parse(content, texts);
    if (this.#columns === undefined) this.#takeHeader(texts[0] ?? '');
    const lines = records.flatMap((record, index): CsvLine[] => {
      const raw = (texts[index] ?? '').replace(/\r$/, '');
      const line = first + index;
      return line === 1 || raw === '' ? [] : [this.#toLine(line, raw, record)];
    });
    this.#lines += texts.length;
    return this.#block(lines, content);
  }

  /** The rest of the file, which has no line end. */
  cutOff(content: Buffer): CsvBlock {
    if (this.#columns === undefined) this.#takeHeader(content.toString('utf8'));
    this.#lines += 1;
    const raw = content.toString('utf8').slice(0, 1_000);
    const problem = 'The last line has no end: the file may have been cut off';
    return this.#block([{ line: this.#lines, cells: null, problem, raw }], content);
  }

  requireHeader(): void {
    if (this.#columns === undefined) throw new CsvError('WrongColumns', 'The file is empty');
  }

  tooLong(): CsvError {
    return new CsvError(
      'LineTooLong',
      `Line ${this.#lines + 1} has more than ${MAX_LINE_BYTES} bytes: is this a CSV file?`,
    );
  }

  #block(lines: CsvLine[], content: Buffer): CsvBlock {
    this.#bytes += content.length;
    const columns = [this.#delimiter, ...(this.#columns ?? [])];
    return { lines, bytes: this.#bytes, lastLine: this.#lines, columns, content };
  }

  /** All lines at once; one by one when a quote somewhere keeps them from being as many records as lines. */
  #parse(content: Buffer, texts: readonly string[]): (string[] | null)[] {
    const delimiter = this.#columns === undefined ? delimiterOf(texts[0] ?? '') : this.#delimiter;
    this.#delimiter = delimiter;
    const options: Options = {
      delimiter,
      bom: true,
      relax_column_count: true,
      record_delimiter: ['\r\n', '\n'],
      max_record_size: MAX_LINE_BYTES,
      trim: true,
    };
    try {
      const records = parse(content, options);
      if (records.length === texts.length) return records;
    } catch {
      // Which line it was is found out below.
    }
    return texts.map((text) => {
      try {
        return parse(text, options)[0] ?? [''];
      } catch {
        return null;
      }
    });
  }

  #takeHeader(text: string): void {
    if (text.includes('\0') || text.includes('\uFFFD'))
      throw new CsvError('WrongEncoding', 'The file is not UTF-8: save it as "CSV UTF-8"');
    const { required, optional } = this.#options;
    this.#delimiter = delimiterOf(text);
    const found = text
      .replace(/^\uFEFF/, '')
      .split(this.#delimiter)
      .map((name) => name.trim().replace(/^"(.*)"$/, '$1'));
    const known = [...required, ...optional];
    const missing = required.filter((name) => !found.includes(name));
    const unknown = found.filter((name) => !known.includes(name));
    if (missing.length > 0 || unknown.length > 0 || new Set(found).size < found.length) {
      const names = (list: readonly string[]) =>
        list.map((name) => JSON.stringify(name.slice(0, 40))).join(', ');
      throw new CsvError(
        'WrongColumns',
        `The first line must name the columns ${names(required)}${optional.length > 0 ? `, and may name ${names(optional)}` : ''}, each once; it names ${names(found.slice(0, 20))}`,
      );
    }
    this.#columns = found;
  }

  #toLine(line: number, raw: string, record: string[] | null): CsvLine {
    const columns = this.#columns ?? [];
    const shown = raw.slice(0, 1_000);
    if (raw.includes('\uFFFD')) return { line, cells: null, problem: 'It is not UTF-8', raw: shown };
    if (record === null) return { line, cells: null, problem: 'The quotes do not match', raw: shown };
    if (record.length !== columns.length) {
      const problem = `There are ${record.length} columns instead of ${columns.length}`;
      return { line, cells: null, problem, raw: shown };
    }
    const cells: Record<string, string> = {};
    for (const [index, name] of columns.entries()) cells[name] = record[index] ?? '';
    return { line, cells, problem: '', raw: shown };
  }
}

function delimiterOf(header: string): string {
  return DELIMITERS.find((delimiter) => header.includes(delimiter)) ?? ',';
}
