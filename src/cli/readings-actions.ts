import { hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { exportMonth } from '../api/reading-export.ts';
import { importReadings } from '../api/reading-import.ts';
import { getReadingImport } from '../ledger/reading-imports.ts';
import { importTable, type TableKind } from './import-table.ts';
import { RefusalReport } from './refusal-report.ts';
import { seedReadings } from './seed-readings.ts';
import { withLedger } from './with-ledger.ts';

/** For statements on thousands of rows, and one that reads on meanwhile. */
const MUCH = { maxConnections: 2, statementTimeoutMs: 120_000 };

export async function seed(namespace: string, customers: number): Promise<void> {
  await withLedger((db) => seedReadings(db, namespace, customers), MUCH);
  console.log(`Seeded ${customers} customers with meters METER-1 to METER-${customers}, and tariffs`);
}

export async function importRows(kind: TableKind, file: string, namespace: string): Promise<void> {
  const report = await RefusalReport.open(`${file}.refused.csv`);
  const done = await withLedger((db) => importTable(db, namespace, kind, file, report), MUCH).finally(() =>
    report.close(),
  );
  console.log(`Wrote ${done.written} rows${describeRefusals(done.refused, report.path)}`);
  if (done.refused > 0) process.exitCode = 1;
}

/** To the standard output without a file. */
export async function exportReadings(
  month: string,
  file: string | undefined,
  namespace: string,
): Promise<void> {
  await withLedger(async (db) => {
    const rows = Readable.from(exportMonth((work) => work(db), namespace, month));
    if (file === undefined) await pipeline(rows, process.stdout, { end: false });
    else await pipeline(rows, createWriteStream(file));
  }, MUCH);
}

/** Goes on where an earlier run of the same file broke off. */
export async function importFile(file: string, namespace: string, again: boolean): Promise<void> {
  const name = basename(file)
    .replaceAll(/[^A-Za-z0-9._-]/g, '_')
    .slice(0, 128);
  const startedAtMs = performance.now();
  await withLedger(async (db, config) => {
    const headSha256 = await hashHead(file);
    const found = again ? null : await getReadingImport(db, namespace, name);
    // Another file of this name is begun at its first byte; whatever of it is there already is not stored twice.
    const isSameFile = found?.headSha256 === headSha256 && (await stat(file)).size >= found.bytes;
    const resume = found?.state === 'running' && found.bytes > 0 && isSameFile ? found : null;
    if (resume !== null) console.log(`Going on after line ${resume.lines}, where an earlier run broke off`);
    const report = await RefusalReport.open(`${file}.refused.csv`, resume?.lines ?? 0);
    const done = await importReadings({
      ...{ db, namespace, name, resume, headSha256, timeZone: config.readings.timeZone },
      content: createReadStream(file, { start: resume?.bytes ?? 0 }),
      nowMs: Date.now(),
      onRefused: (rows) => report.write(rows),
      onProgress: ({ lines }) => {
        report.keep();
        if (process.stderr.isTTY) process.stderr.write(`\r${lines} lines`);
      },
    }).finally(() => report.close());
    if (process.stderr.isTTY) process.stderr.write('\r');
    const seconds = (performance.now() - startedAtMs) / 1_000;
    console.log(
      `Stored ${done.stored} readings, ${done.existing} were there already${describeRefusals(done.refused, report.path)} (${seconds.toFixed(1)} s)`,
    );
    if (done.refused > 0) process.exitCode = 1;
  }, MUCH);
}

/** Of what tells one file from another: the header, and the first hundred rows or so. */
async function hashHead(file: string): Promise<string> {
  await using handle = await open(file);
  const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(4_096), position: 0 });
  return hash('sha256', buffer.subarray(0, bytesRead));
}

function describeRefusals(refused: number, path: string): string {
  return refused === 0 ? '' : `, refused ${refused} rows: see ${path}`;
}
