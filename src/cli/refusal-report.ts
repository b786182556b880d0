import { once } from 'node:events';
import {
  createWriteStream,
  existsSync,
  readFileSync,
  rmSync,
  type WriteStream,
  writeFileSync,
} from 'node:fs';
import { stringify } from 'csv-stringify/sync';
import type { RefusedRow } from '../ledger/reading-imports.ts';

const HEADER = 'line,code,detail\n';

/** The rows of a file that were refused, with their lines, as a CSV file beside it; there only when there are any. */
export class RefusalReport {
  readonly path: string;
  #stream: WriteStream | undefined;

  /** @param keptLines - Refusals up to this line are kept from an earlier run. */
  constructor(path: string, keptLines = 0) {
    this.path = path;
    if (!existsSync(path)) return;
    if (keptLines === 0) rmSync(path);
    else keepUpTo(path, keptLines);
  }

  /** Resolves when the rows are handed to the system, so that a file of nothing but bad rows does not fill the memory. */
  async add(rows: readonly RefusedRow[]): Promise<void> {
    if (this.#stream === undefined) {
      const isNew = !existsSync(this.path);
      this.#stream = createWriteStream(this.path, { flags: 'a' });
      if (isNew) this.#stream.write(HEADER);
    }
    const text = stringify(rows.map(({ line, code, detail }) => [line, code, detail]));
    if (!this.#stream.write(text)) await once(this.#stream, 'drain');
  }

  async close(): Promise<void> {
    const stream = this.#stream;
    if (stream === undefined) return;
    stream.end();
    await once(stream, 'close');
  }
}

/** What was written of lines that were not saved any more is written again by the run that goes on. */
function keepUpTo(path: string, keptLines: number): void {
  const [, ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n');
  const kept = lines.filter((line) => Number.parseInt(line, 10) <= keptLines);
  writeFileSync(path, HEADER + kept.map((line) => `${line}\n`).join(''));
}
