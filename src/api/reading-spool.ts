import {
  appendFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { Batcher } from '../core/batcher.ts';
import { LongshoreError } from '../core/errors.ts';
import { uuidv7 } from '../core/ids.ts';
import type { Logger } from '../core/logger.ts';
import type { NewReading } from '../core/meter-reading.ts';
import { isDataRefused } from '../ledger/database.ts';
import { SpoolLock } from './spool-lock.ts';

export class SpoolFullError extends LongshoreError {
  constructor() {
    super('SpoolFull', 'The spool has no room for another reading');
  }
}

export interface ReadingSpoolOptions {
  /** A folder of this process alone, on a volume that outlives it. Made when missing. */
  dir: string;
  maxBytes: number;
  /** Stores readings durably, also those that would be refused; safe to repeat. Rejects while the ledger is away. */
  store(readings: NewReading[]): Promise<unknown>;
  logger: Logger;
  onChange?(state: { bytes: number; spooled: number; drained: number }): void;
}

/** A segment is read whole when it is drained. */
const SEGMENT_BYTES = 4 * 1_048_576;
/** No reading is longer: a spool without room for one is full. */
const MAX_LINE_BYTES = 1_024;
const DRAIN_BATCH = 1_000;
const DRAIN_INTERVAL_MS = 250;
const SEGMENT = /^[0-9a-f-]{36}\.spool$/;

/**
 * Keeps readings on a disk while the ledger is away. A reading is on the disk (fdatasync) when `append` resolves; segments
 * are stored in their order, each deleted when all of it is in the ledger, so a crash at any point repeats at worst.
 */
export class ReadingSpool {
  readonly #options: ReadingSpoolOptions;
  readonly #abort = new AbortController();
  readonly #batcher: Batcher<NewReading, undefined>;
  readonly #lock: SpoolLock;
  /** Segments that nobody writes any more, the oldest first, with their sizes. */
  #sealed: { path: string; bytes: number }[] = [];
  #open: { file: FileHandle; path: string; bytes: number } | undefined;
  #bytes = 0;
  #draining: Promise<void> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: ReadingSpoolOptions, lock: SpoolLock) {
    this.#options = options;
    this.#lock = lock;
    this.#batcher = new Batcher({
      flush: (readings) => this.#exclusively(() => this.#write(readings)),
      maxDelayMs: 2,
      maxItems: 1_000,
      maxQueued: 2_000,
      // One writer: segments are appended to in order.
      concurrency: 1,
      isIndivisible: () => true,
    });
  }

  /** Takes the folder, with what an earlier life left in it, and begins to drain. Rejects when another process has it. */
  static async open(options: ReadingSpoolOptions): Promise<ReadingSpool> {
    await mkdir(options.dir, { recursive: true });
    const spool = new ReadingSpool(options, await SpoolLock.take(options.dir));
    const names = (await readdir(options.dir)).filter((name) => SEGMENT.test(name)).toSorted();
    for (const name of names) {
      const path = join(options.dir, name);
      const { size } = await stat(path);
      spool.#sealed.push({ path, bytes: size });
      spool.#bytes += size;
    }
    if (names.length > 0)
      options.logger.info({ segments: names.length, bytes: spool.#bytes }, 'Found readings in the spool');
    spool.#report(0, 0);
    spool.#draining = spool.#drain();
    return spool;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.#bytes + MAX_LINE_BYTES > this.#options.maxBytes;
  }

  /** Resolves when the reading is on the disk. Rejects with {@link SpoolFullError}, `BatcherFullError`, or what the disk says. */
  append(reading: NewReading): Promise<undefined> {
    return this.isFull ? Promise.reject(new SpoolFullError()) : this.#batcher.add(reading);
  }

  /** Ends the draining; what is left stays for the next process. */
  async stop(): Promise<void> {
    await this.#batcher.drain();
    this.#abort.abort();
    await this.#draining;
    await this.#open?.file.close();
    await this.#lock.release();
  }

  async #write(readings: NewReading[]): Promise<undefined[]> {
    const bytes = Buffer.from(readings.map(toLine).join(''));
    if (this.#bytes + bytes.length > this.#options.maxBytes) throw new SpoolFullError();
    if (this.#open !== undefined && this.#open.bytes >= SEGMENT_BYTES) await this.#seal();
    this.#open ??= await this.#create();
    const segment = this.#open;
    try {
      await segment.file.write(bytes, 0, bytes.length, segment.bytes);
      await segment.file.datasync();
    } catch (error) {
      // What may be there of it was acknowledged to nobody.
      await segment.file.truncate(segment.bytes).catch(() => {});
      throw error;
    }
    segment.bytes += bytes.length;
    this.#bytes += bytes.length;
    this.#report(readings.length, 0);
    return readings.map(() => undefined);
  }

  async #create(): Promise<{ file: FileHandle; path: string; bytes: number }> {
    const path = join(this.#options.dir, `${uuidv7()}.spool`);
    const file = await open(path, 'wx');
    await syncFolder(this.#options.dir);
    return { file, path, bytes: 0 };
  }

  async #seal(): Promise<void> {
    const segment = this.#open;
    if (segment === undefined) return;
    this.#open = undefined;
    await segment.file.close();
    this.#sealed.push({ path: segment.path, bytes: segment.bytes });
  }

  /** One at a time: a segment is closed between two writes. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  async #drain(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      let isDone = false;
      try {
        if (this.#sealed.length === 0) await this.#exclusively(() => this.#seal());
        const segment = this.#sealed[0];
        if (segment !== undefined) await this.#drainSegment(segment);
        isDone = this.#sealed.length === 0;
      } catch (error) {
        this.#options.logger.debug({ err: error }, 'Kept the spool: the ledger does not take readings');
        isDone = true;
      }
      if (isDone) await sleep(DRAIN_INTERVAL_MS, undefined, { signal }).catch(() => {});
    }
  }

  async #drainSegment(segment: { path: string; bytes: number }): Promise<void> {
    const readings = await this.#read(segment.path);
    for (let at = 0; at < readings.length; at += DRAIN_BATCH) {
      this.#abort.signal.throwIfAborted();
      await this.#store(readings.slice(at, at + DRAIN_BATCH), segment.path);
    }
    await unlink(segment.path);
    await syncFolder(this.#options.dir);
    this.#sealed.shift();
    this.#bytes -= segment.bytes;
    this.#report(0, readings.length);
    this.#options.logger.info({ readings: readings.length }, 'Stored a segment of the spool');
  }

  /** What the ledger refuses for good goes to a file of its own, so that it does not hold up all that comes after it. */
  async #store(readings: NewReading[], path: string): Promise<void> {
    try {
      await this.#options.store(readings);
    } catch (error) {
      if (!isDataRefused(error)) throw error;
      if (readings.length > 1) {
        for (const reading of readings) await this.#store([reading], path);
        return;
      }
      await appendFile(`${path}.refused`, readings.map(toLine).join(''));
      this.#options.logger.error(
        { err: error, file: `${path}.refused` },
        'Failed to store a reading of the spool',
      );
    }
  }

  /** The readings of a segment. A last line that was not written to its end was acknowledged to nobody. */
  async #read(path: string): Promise<NewReading[]> {
    const lines = (await readFile(path, 'utf8')).split('\n');
    const torn = lines.pop() ?? '';
    const broken: string[] = [];
    const readings = lines.flatMap((line) => {
      const reading = fromLine(line);
      if (reading === null) broken.push(line);
      return reading === null ? [] : [reading];
    });
    if (torn !== '') this.#options.logger.warn({ bytes: torn.length }, 'Left out the torn end of a segment');
    if (broken.length > 0) {
      // A disk that changes what it was given: kept for a person, and never in the way of the rest.
      await writeFile(`${path}.broken`, `${broken.join('\n')}\n`);
      this.#options.logger.error(
        { lines: broken.length, file: `${path}.broken` },
        'Found broken lines in the spool',
      );
    }
    return readings;
  }

  #report(spooled: number, drained: number): void {
    this.#options.onChange?.({ bytes: this.#bytes, spooled, drained });
  }
}

function toLine(reading: NewReading): string {
  const json = JSON.stringify(reading);
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
}

function fromLine(line: string): NewReading | null {
  const json = line.slice(9);
  if (line.slice(0, 8) !== crc32(json).toString(16).padStart(8, '0')) return null;
  return JSON.parse(json) as NewReading;
}

/** A file that was made or deleted is so after a crash only when its folder is on the disk. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
