import { BatcherFullError } from '../core/batcher.ts';
import { isOutcomeUnknown, isUnavailable } from '../ledger/database.ts';
import { LedgerAwayError, type ReadingStore, StoringUnknownError } from '../ledger/reading-store.ts';
import type { SentReading, StoredReading } from '../ledger/store-readings.ts';
import { outcomeUnknown, withDeadline } from './deadline.ts';
import { Problem, unavailable } from './problem.ts';
import { type ReadingSpool, SpoolFullError } from './reading-spool.ts';
import type { SpoolEntry } from './spooled-keys.ts';

/** `spooled`: durable on this process's disk, not in the ledger yet. */
export type Intake = StoredReading | { outcome: 'spooled'; id: string };

export interface ReadingIntakeOptions {
  store: ReadingStore;
  /** Null: without the ledger nothing is taken. */
  spool: ReadingSpool | null;
  /** How long the ledger gets. */
  timeoutMs: number;
  /** Called for each reading. */
  onIntake(outcome: Intake['outcome'] | 'failed', readings: number): void;
}

/** With a spool there is somewhere else to go: a ledger that is silent is not waited for any longer than this. */
const PATIENCE_MS = 2_500;

/** Makes readings durable: in the ledger, or while that is away on the disk, or not at all and says so. */
export class ReadingIntake {
  readonly #options: ReadingIntakeOptions;

  constructor(options: ReadingIntakeOptions) {
    this.#options = options;
  }

  /** Rejects with a {@link Problem} when the reading is not durable, or not known to be. */
  async take(sent: SentReading): Promise<Intake> {
    const { spool } = this.#options;
    // The ledger may be back, and would take the key for another moment than the spool has.
    const taken =
      spool !== null && spool.keys.find(sent) !== undefined
        ? await this.#spool(spool, [sent])
        : await this.#orSpool([sent], async (store) => [await store.store(sent)]);
    return taken[0] as Intake;
  }

  /** Many, all or none. */
  takeAll(sent: readonly SentReading[]): Promise<Intake[]> {
    return this.#orSpool(sent, (store) => store.storeAll(sent));
  }

  async #orSpool(
    sent: readonly SentReading[],
    work: (store: ReadingStore) => Promise<StoredReading[]>,
  ): Promise<Intake[]> {
    const { store, spool, timeoutMs, onIntake } = this.#options;
    try {
      const patienceMs = spool === null ? timeoutMs : Math.min(timeoutMs, PATIENCE_MS);
      const stored = await withDeadline(work(store), patienceMs, () => outcomeUnknown());
      for (const { outcome } of stored) onIntake(outcome, 1);
      return stored;
    } catch (error) {
      const isAway = isLedgerAway(error);
      if (isAway && spool !== null) return this.#spool(spool, sent);
      onIntake('failed', sent.length);
      throw toIntakeProblem(error);
    }
  }

  async #spool(spool: ReadingSpool, sent: readonly SentReading[]): Promise<Intake[]> {
    try {
      const spooled = await this.#append(spool, sent);
      for (const { outcome } of spooled) this.#options.onIntake(outcome, 1);
      return spooled;
    } catch (error) {
      this.#options.onIntake('failed', sent.length);
      if (error instanceof BatcherFullError) throw tooManyReadings(error);
      throw unavailable(
        error instanceof SpoolFullError
          ? 'The ledger cannot be reached, and the spool is full'
          : 'The ledger cannot be reached, and the spool cannot be written',
        error,
        5,
      );
    }
  }

  /** A reading whose key is in the spool already is not there twice, and is answered when the first one is durable. */
  async #append(spool: ReadingSpool, sent: readonly SentReading[]): Promise<Intake[]> {
    const held = sent.map((one) => spool.keys.find(one));
    const fresh = sent.filter((_, index) => held[index] === undefined).map(toEntry);
    const written = fresh.length === 0 ? undefined : spool.append(fresh);
    await Promise.all([written, ...held.map((first) => first?.written)]);
    return sent.map(({ reading, key }, index): Intake => {
      const first = held[index];
      if (first === undefined) return { outcome: 'spooled', id: reading.id };
      return first.bodySha256 === key?.bodySha256
        ? { outcome: 'spooled', id: first.id }
        : { outcome: 'conflict' };
    });
  }
}

function toEntry({ reading, key }: SentReading): SpoolEntry {
  return { reading, key: key && { key: key.key, bodySha256: key.bodySha256 } };
}

/** The id makes storing twice the same as once, so what may have been stored may be spooled too. */
function isLedgerAway(error: unknown): boolean {
  if (error instanceof LedgerAwayError || error instanceof StoringUnknownError) return true;
  if (isUnavailable(error) || isOutcomeUnknown(error)) return true;
  return error instanceof Problem && error.code === 'OutcomeUnknown';
}

function toIntakeProblem(error: unknown): unknown {
  if (error instanceof BatcherFullError) return tooManyReadings(error);
  if (error instanceof StoringUnknownError) return outcomeUnknown(error);
  return error instanceof LedgerAwayError ? unavailable('The ledger cannot be reached', error) : error;
}

/** Refused before it takes memory: whoever sends it comes again. */
export function tooManyReadings(cause?: unknown): Problem {
  return new Problem('TooManyRequests', 'More readings arrive than can be stored: send this one again', {
    headers: { 'Retry-After': '1' },
    ...(cause === undefined ? {} : { cause }),
  });
}
