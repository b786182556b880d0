import { FIRST_READING_DAY, LAST_READING_DAY, type ReadingRefusal } from '../../core/meter-reading.ts';
import { costOf } from './cost.ts';

/** What the last accepted reading of a register was. */
export interface LastReading {
  id: string;
  value: number;
  day: string;
  readAtMs: number;
}

/** A reading with all that it is judged by. */
export interface LoadedReading {
  id: string;
  day: string;
  meterId: string;
  zone: string;
  value: number;
  readAtMs: number;
  /** Null: there is none. */
  meter: { zones: string[]; digits: number; rollsOver: boolean; maxPerDay: number } | null;
  /** Of a unit on that day; null without a tariff. */
  price: string | null;
  currency: string | null;
  last: LastReading | null;
}

export interface Judgement {
  id: string;
  day: string;
  status: 'ACCEPTED' | 'REFUSED';
  reason: ReadingRefusal | null;
  previous: number | null;
  consumption: number | null;
  rolledOver: boolean | null;
  cost: string | null;
  currency: string | null;
}

/** Where a register stands after the judgements. */
export interface MovedRegister extends LastReading {
  meterId: string;
  zone: string;
  /** The reading that was its last one when the judgements were made. */
  beforeId: string | null;
}

const DAY_MS = 24 * 3_600_000;

/** Judges readings, those of each register in the order in which they were read. */
export function judgeReadings(readings: readonly LoadedReading[]): {
  judgements: Judgement[];
  registers: MovedRegister[];
} {
  const judgements: Judgement[] = [];
  const registers: MovedRegister[] = [];
  const byRegister = Map.groupBy(readings, ({ meterId, zone }) => `${meterId} ${zone}`);
  for (const ofRegister of byRegister.values()) {
    const ordered = ofRegister.toSorted((a, b) => a.readAtMs - b.readAtMs || a.value - b.value);
    const before = ordered[0]?.last ?? null;
    let last = before;
    for (const reading of ordered) {
      const judgement = judge(reading, last);
      judgements.push(judgement);
      if (judgement.status === 'ACCEPTED') last = reading;
    }
    if (last !== before && last !== null) {
      const { meterId, zone } = ordered[0] as LoadedReading;
      const { id, value, day, readAtMs } = last;
      registers.push({ meterId, zone, id, value, day, readAtMs, beforeId: before?.id ?? null });
    }
  }
  return { judgements, registers };
}

/** One reading against the last accepted one of its register. The first one of all opens the register at no cost. */
export function judge(reading: LoadedReading, last: LastReading | null): Judgement {
  const { id, day } = reading;
  const rise = last === null ? { units: 0, rolledOver: false } : riseOf(reading, last);
  const reason =
    refusalOfMeter(reading) ?? (last === null ? null : refusalOfHistory(reading, last, rise)) ?? null;
  const previous = last?.value ?? null;
  if (reason !== null) {
    const nothing = { consumption: null, rolledOver: null, cost: null, currency: null };
    return { id, day, status: 'REFUSED', reason, previous, ...nothing };
  }
  return {
    id,
    day,
    status: 'ACCEPTED',
    reason: null,
    previous,
    consumption: rise.units,
    rolledOver: rise.rolledOver,
    cost: reading.price === null ? null : costOf(rise.units, reading.price),
    currency: reading.currency,
  };
}

interface Rise {
  units: number;
  rolledOver: boolean;
}

/** How far the register went; a lower value is read as one that passed its highest and began again at 0. */
function riseOf({ value, meter }: LoadedReading, last: LastReading): Rise {
  if (value >= last.value) return { units: value - last.value, rolledOver: false };
  return { units: 10 ** (meter?.digits ?? 0) - last.value + value, rolledOver: true };
}

/** What can be said without the history. */
function refusalOfMeter({ meter, zone, value, day }: LoadedReading): ReadingRefusal | null {
  if (meter === null) return 'UnknownMeter';
  if (!meter.zones.includes(zone)) return 'UnknownZone';
  if (value >= 10 ** meter.digits) return 'TooManyDigits';
  const dayOfMonth = Number(day.slice(8));
  return dayOfMonth < FIRST_READING_DAY || dayOfMonth > LAST_READING_DAY ? 'OutsideWindow' : null;
}

function refusalOfHistory(reading: LoadedReading, last: LastReading, rise: Rise): ReadingRefusal | null {
  const elapsedMs = reading.readAtMs - last.readAtMs;
  if (elapsedMs < 0) return 'OlderThanLast';
  if (reading.value === last.value && reading.day.slice(0, 7) === last.day.slice(0, 7)) return 'AlreadyRead';
  const days = Math.max(1, Math.ceil(elapsedMs / DAY_MS));
  const isPossible = rise.units <= days * (reading.meter?.maxPerDay ?? 0);
  if (rise.rolledOver) return isPossible && reading.meter?.rollsOver === true ? null : 'LowerThanLast';
  return isPossible ? null : 'ImpossibleRise';
}
