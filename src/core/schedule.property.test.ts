import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CatchUp, dueFires, nextFire, type ScheduleTiming } from './schedule.ts';

const HOUR = 3_600_000;
const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe'];
const START = Date.parse('2025-01-01T00:00:00Z');
const END = Date.parse('2027-12-31T00:00:00Z');

const field = (min: number, max: number) =>
  fc.oneof(
    fc.constant('*'),
    fc.integer({ min, max }).map(String),
    fc.integer({ min: 2, max: Math.min(20, max) }).map((step) => `*/${step}`),
  );
const cron: fc.Arbitrary<ScheduleTiming> = fc.record({
  cron: fc
    .tuple(field(0, 59), field(0, 23), fc.constant('*'), fc.constant('*'), field(0, 6))
    .map((fields) => fields.join(' ')),
  timeZone: fc.constantFrom(...zones),
});
const every: fc.Arbitrary<ScheduleTiming> = fc.record({
  everySeconds: fc.integer({ min: 1, max: 86_400 }),
});
const timing = fc.oneof(cron, every);
const moment = fc.integer({ min: START, max: END });
const catchUp: fc.Arbitrary<CatchUp> = fc.record({
  policy: fc.constantFrom('none', 'last', 'all'),
  limit: fc.integer({ min: 1, max: 100 }),
});

const wallClock = (ms: number, timeZone: string) => new Date(ms).toLocaleString('sv-SE', { timeZone });

describe('nextFire', () => {
  it('is later, on a full second, and the same from every moment before it', () => {
    fc.assert(
      fc.property(timing, moment, fc.double({ min: 0, max: 1, noNaN: true }), (when, after, part) => {
        const next = nextFire(when, after);
        if (next === null) return;
        expect(next).toBeGreaterThan(after);
        expect(next % 1_000).toBe(0);
        const between = after + Math.floor((next - 1 - after) * part);
        expect(nextFire(when, between)).toBe(next);
      }),
      { numRuns: 300 },
    );
  });

  it('fires on each day once at a named time, whatever the clocks do', () => {
    const daily = fc.record({
      hour: fc.integer({ min: 0, max: 23 }),
      minute: fc.integer({ min: 0, max: 59 }),
      timeZone: fc.constantFrom(...zones),
    });
    fc.assert(
      fc.property(daily, moment, ({ hour, minute, timeZone }, from) => {
        const days: string[] = [];
        let at: number | null = from;
        for (let n = 0; n < 20 && at !== null; n += 1) {
          at = nextFire({ cron: `${minute} ${hour} * * *`, timeZone }, at);
          if (at !== null) days.push(wallClock(at, timeZone).slice(0, 10));
        }
        expect(new Set(days).size).toBe(days.length);
        const first = Date.parse(`${days[0]}T00:00:00Z`);
        expect(Date.parse(`${days.at(-1)}T00:00:00Z`) - first).toBe((days.length - 1) * 24 * HOUR);
      }),
      { numRuns: 100 },
    );
  });
});

describe('dueFires', () => {
  it('gives fire times of the span, in order, at most as many as the policy makes up for', () => {
    fc.assert(
      fc.property(
        timing,
        catchUp,
        moment,
        fc.integer({ min: 0, max: 3 * 24 * HOUR }),
        (when, policy, after, span) => {
          const now = after + span;
          const fires = dueFires(when, policy, after, now);
          expect(fires).toEqual([...new Set(fires)].sort((a, b) => a - b));
          for (const fire of fires) {
            expect(fire > after && fire <= now).toBe(true);
            expect(nextFire(when, fire - 1)).toBe(fire);
          }
          expect(fires.length).toBeLessThanOrEqual(policy.policy === 'all' ? policy.limit : 1);
          // Nothing due is left out behind the last one.
          const last = fires.at(-1);
          const following = last === undefined ? null : nextFire(when, last);
          if (following !== null) expect(following).toBeGreaterThan(now);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('makes each fire time due once, however the span is cut', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 25_000 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(
        fc.record({ everySeconds: fc.integer({ min: 26, max: 600 }) }),
        moment,
        cuts,
        (when, from, steps) => {
          const seen: number[] = [];
          let at = from;
          for (const step of steps) {
            seen.push(...dueFires(when, { policy: 'none', limit: 1 }, at, at + step));
            at += step;
          }
          const expected: number[] = [];
          for (let fire = nextFire(when, from); fire !== null && fire <= at; fire = nextFire(when, fire))
            expected.push(fire);
          expect(seen).toEqual(expected);
        },
      ),
    );
  });
});
