import { hash } from 'node:crypto';

/** The zone of a meter that has one register only. */
export const TOTAL_ZONE = 'total';

export const READING_STATUSES = ['RECEIVED', 'ACCEPTED', 'REFUSED'] as const;
/** RECEIVED: durable, and not judged yet. */
export type ReadingStatus = (typeof READING_STATUSES)[number];

/** Days of the month, both included, in which readings are taken. */
export const FIRST_READING_DAY = 15;
export const LAST_READING_DAY = 26;

/** What the judge of readings found wrong with one. */
export const READING_REFUSALS = [
  'UnknownMeter',
  'UnknownZone',
  'TooManyDigits',
  'OutsideWindow',
  'OlderThanLast',
  'AlreadyRead',
  'LowerThanLast',
  'ImpossibleRise',
] as const;
export type ReadingRefusal = (typeof READING_REFUSALS)[number];

/** What is found wrong before a reading is stored. */
export type StoringRefusal = Extract<ReadingRefusal, 'UnknownMeter' | 'UnknownZone' | 'TooManyDigits'>;

/** How far ahead a reading's time may lie, in milliseconds: clocks of clients differ from ours. */
export const MAX_READING_AHEAD_MS = 60_000;

/** The highest value that any meter can show: nine digits. */
export const MAX_READING_VALUE = 999_999_999;

/** What a meter showed. */
export interface NewReading {
  /** {@link readingId} of the rest. */
  id: string;
  namespace: string;
  meterId: string;
  zone: string;
  /** Whole units, as the register shows them. */
  value: number;
  /** Milliseconds since the epoch. */
  readAtMs: number;
  /** `readAtMs` as a date where the meters are, `YYYY-MM-DD`. */
  day: string;
  /** Who sent it: `api`, `page`, `csv`, or what the client says. */
  source: string;
}

/** A reading as it is kept. */
export interface MeterReading extends NewReading {
  status: ReadingStatus;
  /** Why it was REFUSED. */
  reason: ReadingRefusal | null;
  /** What its register had shown before; null for its first reading. */
  previous: number | null;
  consumption: number | null;
  rolledOver: boolean | null;
  /** Exact decimal; null when there is no tariff. */
  cost: string | null;
  currency: string | null;
  receivedAtMs: number;
  judgedAtMs: number | null;
}

/** Completes a reading with its day and its id. */
export function toNewReading(reading: Omit<NewReading, 'id' | 'day'>, timeZone: string): NewReading {
  const day = dayIn(timeZone, reading.readAtMs);
  return { ...reading, day, id: readingId({ ...reading, day }) };
}

/**
 * The id of a reading: a UUIDv8 (RFC 9562 §5.8) of 48 bits of its day and 74 of a hash of namespace, meter, zone and value.
 * So the same reading has the same id wherever and however often it comes in, and the id alone says in which month it is.
 */
export function readingId(
  reading: Pick<NewReading, 'namespace' | 'meterId' | 'zone' | 'value' | 'day'>,
): string {
  const { namespace, meterId, zone, value, day } = reading;
  const time = Date.parse(`${day}T00:00:00Z`).toString(16).padStart(12, '0');
  const rest = hash('sha256', `${namespace}\0${meterId}\0${zone}\0${value}`);
  const variant = ((Number.parseInt(rest.charAt(3), 16) & 0x3) | 0x8).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-8${rest.slice(0, 3)}-${variant}${rest.slice(4, 7)}-${rest.slice(7, 19)}`;
}

const READING_ID = /^([0-9a-f]{8})-([0-9a-f]{4})-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const DAY_MS = 24 * 3_600_000;

/** The day, `YYYY-MM-DD`, that a reading's id tells; null for what is no such id. */
export function dayOfReading(id: string): string | null {
  const match = READING_ID.exec(id);
  if (match === null) return null;
  const ms = Number.parseInt(`${match[1]}${match[2]}`, 16);
  return ms % DAY_MS === 0 && ms < 253_402_300_800_000 ? new Date(ms).toISOString().slice(0, 10) : null;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** The date of a moment in a time zone, `YYYY-MM-DD`. */
export function dayIn(timeZone: string, ms: number): string {
  if (timeZone === 'UTC') return new Date(ms).toISOString().slice(0, 10);
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' });
    formats.set(timeZone, format);
  }
  return format.format(ms);
}
