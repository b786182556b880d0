import { Cron } from 'croner';

/** When a schedule fires: by a five-field cron expression in a time zone, or evenly, every so many seconds since 1970. */
export type ScheduleTiming = { cron: string; timeZone: string } | { everySeconds: number };

/** What happens when a fire time comes while the job of an earlier one has not ended. */
export const OVERLAP_POLICIES = ['allow', 'skip', 'replace'] as const;
export type OverlapPolicy = (typeof OVERLAP_POLICIES)[number];

/** What happens with fire times that passed while nobody looked. */
export const CATCH_UP_POLICIES = ['none', 'last', 'all'] as const;
export type CatchUpPolicy = (typeof CATCH_UP_POLICIES)[number];

export interface CatchUp {
  policy: CatchUpPolicy;
  /** With `all`: the most fire times that are made up for; the newest are kept. */
  limit: number;
}

export const MAX_CATCH_UP = 100;

/** A late fire within this time is not "missed": the controller looks every few seconds. */
const PUNCTUAL_MS = 30_000;
const LONGEST_LOOK_BACK_MS = 31 * 24 * 3_600_000;
const LOOK_BACKS_MS = [3_600_000, 6 * 3_600_000, 24 * 3_600_000, 7 * 24 * 3_600_000, LONGEST_LOOK_BACK_MS];

/** Seconds of `10s`, `5m`, `2h`, `1d`; null for other text. At least a second, at most 31 days. */
export function parseEvery(text: string): number | null {
  const match = /^([1-9]\d{0,6})([smhd])$/.exec(text);
  if (match === null) return null;
  const seconds = Number(match[1]) * { s: 1, m: 60, h: 3_600, d: 86_400 }[match[2] as 's' | 'm' | 'h' | 'd'];
  return seconds <= LONGEST_LOOK_BACK_MS / 1_000 ? seconds : null;
}

/** Why a cron expression or time zone cannot be used, or null. */
export function refuseCron(
  cron: string,
  timeZone: string,
): { field: 'cron' | 'timeZone'; detail: string } | null {
  try {
    new Intl.DateTimeFormat('en', { timeZone });
  } catch {
    return { field: 'timeZone', detail: 'is no IANA time zone, such as Europe/Berlin' };
  }
  if (cron.length > 200 || cron.trim().split(/\s+/).length !== 5) {
    return { field: 'cron', detail: 'must have five fields: minute, hour, day, month, weekday' };
  }
  try {
    const next = new Cron(cron, { timezone: timeZone, mode: '5-part' }).nextRun();
    return next === null ? { field: 'cron', detail: 'never comes' } : null;
  } catch (error) {
    return { field: 'cron', detail: `cannot be read: ${(error as Error).message}` };
  }
}

/**
 * The first fire time after `afterMs`, or null when there is none. Daylight saving: a time that the gap swallows fires
 * once, right after the gap; a named hour that comes twice fires the first time only, `*` goes on evenly.
 */
export function nextFire(timing: ScheduleTiming, afterMs: number): number | null {
  if ('everySeconds' in timing) {
    const period = timing.everySeconds * 1_000;
    return Math.floor(afterMs / period) * period + period;
  }
  const cron = new Cron(timing.cron, { timezone: timing.timeZone, mode: '5-part' });
  const namesHours = !(timing.cron.trim().split(/\s+/)[1] ?? '*').startsWith('*');
  let next = cron.nextRun(new Date(afterMs));
  while (next !== null && namesHours && isRepeated(next.getTime(), timing.timeZone))
    next = cron.nextRun(next);
  return next?.getTime() ?? null;
}

/** Whether the clock on the wall showed this very time an hour (or, on Lord Howe, half an hour) ago. */
function isRepeated(ms: number, timeZone: string): boolean {
  const wall = wallClock(ms, timeZone);
  return wall === wallClock(ms - 3_600_000, timeZone) || wall === wallClock(ms - 1_800_000, timeZone);
}

function wallClock(ms: number, timeZone: string): string {
  return new Date(ms).toLocaleString('sv-SE', { timeZone });
}

/**
 * The fire times in (`afterMs`, `nowMs`] that still count, oldest first. A punctual one always does; what was missed is
 * made up for as `catchUp` says.
 */
export function dueFires(timing: ScheduleTiming, catchUp: CatchUp, afterMs: number, nowMs: number): number[] {
  const keep = catchUp.policy === 'all' ? Math.max(1, Math.min(MAX_CATCH_UP, catchUp.limit)) : 1;
  const fires = newestFires(timing, keep, afterMs, nowMs);
  return catchUp.policy === 'none' ? fires.filter((fire) => nowMs - fire <= PUNCTUAL_MS) : fires;
}

/** The last `keep` fire times: looked for in ever longer spans, so that an outage is not gone through minute by minute. */
function newestFires(timing: ScheduleTiming, keep: number, afterMs: number, nowMs: number): number[] {
  const reaches = 'everySeconds' in timing ? [(keep + 1) * timing.everySeconds * 1_000] : LOOK_BACKS_MS;
  let fires: number[] = [];
  for (const reach of reaches) {
    const fromMs = Math.max(afterMs, nowMs - reach);
    fires = [];
    for (let at = nextFire(timing, fromMs); at !== null && at <= nowMs; at = nextFire(timing, at))
      fires.push(at);
    if (fires.length >= keep || fromMs === afterMs) break;
  }
  return fires.slice(-keep);
}
