import type { NewReading } from '../core/meter-reading.ts';
import { setBounded } from '../core/set-bounded.ts';
import { nameOfKey, type ReadingKey } from '../ledger/store-readings.ts';

/** A reading with its `Idempotency-Key`, as a line of a segment has them. */
export interface SpoolEntry {
  reading: NewReading;
  key: ReadingKey | null;
}

interface HeldKey {
  /** Of the reading that the key stands for. */
  id: string;
  bodySha256: string;
  /** Settles with the write of that reading; undefined for one that was found on the disk. */
  written: Promise<unknown> | undefined;
}

/** Some 30 MB. */
const MAX_KEYS = 100_000;

/**
 * What the keys in the spool stand for, from the moment that they are being written until their segment is drained. Of very many the
 * oldest are forgotten: sent again they are spooled again, and the drain makes one reading of them.
 */
export class SpooledKeys {
  readonly #held = new Map<string, HeldKey>();

  find({ reading, key }: SpoolEntry): HeldKey | undefined {
    return key === null ? undefined : this.#held.get(nameOfKey(reading.namespace, key.key));
  }

  /** The first reading with a key is the one. A key whose reading could not be written is free again. */
  hold(entries: readonly SpoolEntry[], written?: Promise<unknown>): void {
    for (const { reading, key } of entries) {
      if (key === null) continue;
      const name = nameOfKey(reading.namespace, key.key);
      if (this.#held.has(name)) continue;
      const held = { id: reading.id, bodySha256: key.bodySha256, written };
      setBounded(this.#held, name, held, MAX_KEYS);
    }
    written?.catch(() => this.forget(entries));
  }

  forget(entries: readonly SpoolEntry[]): void {
    for (const { reading, key } of entries)
      if (key !== null) this.#held.delete(nameOfKey(reading.namespace, key.key));
  }
}
