import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { stringify } from 'csv-stringify/sync';
import type { RefusedRow } from '../ledger/reading-imports.ts';

const HEADER = 'line,code,detail\n';

/** The rows of a file that were refused, with their lines, as a CSV file beside it; there only when there are any. */
export class RefusalReport {
  readonly path: string;
  #file: FileHandle | undefined;
  /** Where the next rows go: those of before are kept for good. */
  #kept = 0;
  #end = 0;

  private constructor(path: string) {
    this.path = path;
  }

  /** @param keptLines - Refusals up to this line are kept from an earlier run. */
  static async open(path: string, keptLines = 0): Promise<RefusalReport> {
    const report = new RefusalReport(path);
    if (!existsSync(path)) return report;
    if (keptLines === 0) await rm(path);
    else await report.#takeUp(keptLines);
    return report;
  }

  /** Resolves when the system has the rows. They take the place of those that were written since the last `keep`. */
  async write(rows: readonly RefusedRow[]): Promise<void> {
    if (rows.length === 0 && this.#end === this.#kept) return;
    if (this.#file === undefined) {
      this.#file = await open(this.path, 'w');
      this.#kept = (await this.#file.write(HEADER, 0)).bytesWritten;
    }
    await this.#file.truncate(this.#kept);
    const text = stringify(rows.map(({ line, code, detail }) => [line, code, detail]));
    const { bytesWritten } = await this.#file.write(text, this.#kept);
    this.#end = this.#kept + bytesWritten;
  }

  /** What was written is there to stay. */
  keep(): void {
    this.#kept = this.#end;
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  /** What was written of lines that were not saved is written again by the run that goes on. */
  async #takeUp(keptLines: number): Promise<void> {
    const draft = `${this.path}.new`;
    const lines = createInterface({ input: createReadStream(this.path) });
    await pipeline(async function* () {
      yield HEADER;
      for await (const line of lines) if (Number.parseInt(line, 10) <= keptLines) yield `${line}\n`;
    }, createWriteStream(draft));
    await rename(draft, this.path);
    this.#file = await open(this.path, 'r+');
    this.#kept = (await this.#file.stat()).size;
    this.#end = this.#kept;
  }
}
