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
import { type SpoolEntry, SpooledKeys } from './spooled-keys.ts';

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
  store(entries: SpoolEntry[]): Promise<unknown>;
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
  /** Of what is here, also of what an earlier life left. */
  readonly keys = new SpooledKeys();
  readonly #options: ReadingSpoolOptions;
  readonly #abort = new AbortController();
  /** Each item is what one request sends: written whole or not at all. */
  readonly #batcher: Batcher<readonly SpoolEntry[], undefined>;
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
      flush: (requests) => this.#exclusively(() => this.#write(requests)),
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
      spool.keys.hold((await readSegment(path)).entries);
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

  /**
   * Resolves when the readings of one request are on the disk, all of them. Rejects, and none of them is there, with
   * {@link SpoolFullError}, `BatcherFullError`, or what the disk says.
   */
  append(entries: readonly SpoolEntry[]): Promise<undefined> {
    const written = this.isFull ? Promise.reject(new SpoolFullError()) : this.#batcher.add(entries);
    this.keys.hold(entries, written);
    return written;
  }

  /** Ends the draining; what is left stays for the next process. */
  async stop(): Promise<void> {
    await this.#batcher.drain();
    this.#abort.abort();
    await this.#draining;
    await this.#open?.file.close();
    await this.#lock.release();
  }

  /** One write for the requests that there is room for; the others are answered that there is none. */
  async #write(requests: (readonly SpoolEntry[])[]): Promise<(undefined | Error)[]> {
    const taken: Buffer[] = [];
    let room = this.#options.maxBytes - this.#bytes;
    let spooled = 0;
    const answers = requests.map((entries) => {
      const bytes = Buffer.from(entries.map(toLine).join(''));
      if (bytes.length > room) return new SpoolFullError();
      taken.push(bytes);
      room -= bytes.length;
      spooled += entries.length;
      return undefined;
    });
    if (spooled > 0) await this.#put(Buffer.concat(taken));
    this.#report(spooled, 0);
    return answers;
  }

  async #put(bytes: Buffer): Promise<void> {
    if (this.#open !== undefined && this.#open.bytes >= SEGMENT_BYTES) await this.#seal();
    this.#open ??= await this.#create();
    const segment = this.#open;
    try {
      // A disk that has no room for all of it takes a part, and says so at the next write.
      for (let at = 0; at < bytes.length; )
        at += (await segment.file.write(bytes, at, bytes.length - at, segment.bytes + at)).bytesWritten;
      await segment.file.datasync();
    } catch (error) {
      // What may be there of it was acknowledged to nobody.
      await segment.file.truncate(segment.bytes).catch(() => {});
      throw error;
    }
    segment.bytes += bytes.length;
    this.#bytes += bytes.length;
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
    const entries = await this.#read(segment.path);
    for (let at = 0; at < entries.length; at += DRAIN_BATCH) {
      this.#abort.signal.throwIfAborted();
      await this.#store(entries.slice(at, at + DRAIN_BATCH), segment.path);
    }
    await unlink(segment.path);
    await syncFolder(this.#options.dir);
    this.#sealed.shift();
    this.#bytes -= segment.bytes;
    this.keys.forget(entries);
    this.#report(0, entries.length);
    this.#options.logger.info({ readings: entries.length }, 'Stored a segment of the spool');
  }

  /** What the ledger refuses for good goes to a file of its own, so that it does not hold up all that comes after it. */
  async #store(entries: SpoolEntry[], path: string): Promise<void> {
    try {
      await this.#options.store(entries);
    } catch (error) {
      if (!isDataRefused(error)) throw error;
      if (entries.length > 1) {
        for (const entry of entries) await this.#store([entry], path);
        return;
      }
      await appendFile(`${path}.refused`, entries.map(toLine).join(''));
      this.#options.logger.error(
        { err: error, file: `${path}.refused` },
        'Failed to store a reading of the spool',
      );
    }
  }

  async #read(path: string): Promise<SpoolEntry[]> {
    const { entries, broken, tornBytes } = await readSegment(path);
    if (tornBytes > 0) this.#options.logger.warn({ bytes: tornBytes }, 'Left out the torn end of a segment');
    if (broken.length > 0) {
      // A disk that changes what it was given: kept for a person, and never in the way of the rest.
      await writeFile(`${path}.broken`, `${broken.join('\n')}\n`);
      this.#options.logger.error(
        { lines: broken.length, file: `${path}.broken` },
        'Found broken lines in the spool',
      );
    }
    return entries;
  }

  #report(spooled: number, drained: number): void {
    this.#options.onChange?.({ bytes: this.#bytes, spooled, drained });
  }
}

/** What is in a segment. A last line that was not written to its end was acknowledged to nobody. */
async function readSegment(
  path: string,
): Promise<{ entries: SpoolEntry[]; broken: string[]; tornBytes: number }> {
  const lines = (await readFile(path, 'utf8')).split('\n');
  const tornBytes = lines.pop()?.length ?? 0;
  const broken: string[] = [];
  const entries = lines.flatMap((line) => {
    const entry = fromLine(line);
    if (entry === null) broken.push(line);
    return entry ?? [];
  });
  return { entries, broken, tornBytes };
}

function toLine({ reading, key }: SpoolEntry): string {
  const json = JSON.stringify({ reading, key });
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
}

function fromLine(line: string): SpoolEntry | null {
  const json = line.slice(9);
  if (line.slice(0, 8) !== crc32(json).toString(16).padStart(8, '0')) return null;
  const entry = JSON.parse(json) as SpoolEntry | NewReading;
  // An earlier version wrote readings without their keys.
  return 'reading' in entry ? entry : { reading: entry, key: null };
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
