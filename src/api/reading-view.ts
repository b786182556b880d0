import {
  FIRST_READING_DAY,
  LAST_READING_DAY,
  type MeterReading,
  type NewReading,
  type ReadingRefusal,
} from '../core/meter-reading.ts';
import type { BillLine } from '../ledger/meter-readings.ts';
import { iso } from './iso.ts';

/** What a person is told of a refusal. */
export const REFUSAL_MESSAGES: Readonly<Record<ReadingRefusal, string>> = {
  UnknownMeter: 'There is no such meter',
  UnknownZone: 'The meter has no such zone',
  TooManyDigits: 'The value has more digits than the meter',
  OutsideWindow: `Readings are taken from the ${FIRST_READING_DAY}th to the ${LAST_READING_DAY}th of a month`,
  OlderThanLast: 'A later reading has been accepted already',
  AlreadyRead: 'This value has been accepted this month already',
  LowerThanLast: 'The value is lower than the last one',
  ImpossibleRise: 'The meter cannot have used that much since its last reading',
};

export function readingLinks({ id, meterId }: Pick<NewReading, 'id' | 'meterId'>) {
  return { self: `/v1/meter-readings/${id}`, meter: `/v1/meters/${meterId}` };
}

export function viewReading(reading: MeterReading): Record<string, unknown> {
  return {
    id: reading.id,
    meterId: reading.meterId,
    zone: reading.zone,
    value: reading.value,
    day: reading.day,
    readAt: iso(reading.readAtMs),
    source: reading.source,
    status: reading.status,
    reason:
      reading.reason === null ? null : { code: reading.reason, message: REFUSAL_MESSAGES[reading.reason] },
    previous: reading.previous,
    consumption: reading.consumption,
    rolledOver: reading.rolledOver,
    cost: reading.cost,
    currency: reading.currency,
    receivedAt: iso(reading.receivedAtMs),
    judgedAt: iso(reading.judgedAtMs),
    links: readingLinks(reading),
  };
}

/** A reading as it is the moment after it was stored. */
export function receivedReading(reading: NewReading, nowMs: number): MeterReading {
  return {
    ...reading,
    status: 'RECEIVED',
    reason: null,
    previous: null,
    consumption: null,
    rolledOver: null,
    cost: null,
    currency: null,
    receivedAtMs: nowMs,
    judgedAtMs: null,
  };
}

export function viewBill(meterId: string, month: string, bill: { lines: BillLine[]; waiting: number }) {
  const { lines, waiting } = bill;
  const currencies = new Set(lines.map(({ currency }) => currency));
  const isPriced = lines.length > 0 && currencies.size === 1 && lines.every(({ cost }) => cost !== null);
  return {
    meterId,
    month,
    lines,
    consumption: lines.reduce((sum, { consumption }) => sum + consumption, 0),
    cost: isPriced ? addCents(lines.map(({ cost }) => cost ?? '0.00')) : null,
    currency: isPriced ? (lines[0]?.currency ?? null) : null,
    waiting,
  };
}

/** The sum of decimals of two places. */
function addCents(amounts: readonly string[]): string {
  const cents = amounts.reduce((sum, amount) => sum + BigInt(amount.replace('.', '')), 0n);
  return `${cents / 100n}.${(cents % 100n).toString().padStart(2, '0')}`;
}
