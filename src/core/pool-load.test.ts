import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Pace, poolCapacity, poolLoad, type TypeDemand } from './pool-load.ts';

const SCALE = { maxReplicas: 10, jobsPerReplica: 10, paused: false };
const START_MS = 5_000;

function demand(overrides: Partial<TypeDemand> = {}): TypeDemand {
  return { active: 0, runnable: 0, paused: false, maxRunning: null, rate: null, budget: null, ...overrides };
}

function load(...types: Partial<TypeDemand>[]): number {
  return poolLoad(SCALE, types.map(demand), START_MS);
}

describe('poolLoad', () => {
  it('adds what could run to what runs', () => {
    expect(load({ active: 3, runnable: 4 }, { active: 1, runnable: 2 })).toBe(10);
    expect(load({})).toBe(0);
    expect(load()).toBe(0);
  });

  it('stops at what the pods of the pool take together, and never below what runs', () => {
    expect(load({ active: 30, runnable: 1_000 })).toBe(100);
    expect(load({ active: 130, runnable: 1_000 })).toBe(130);
  });

  it('counts running jobs alone while the pool is paused', () => {
    expect(poolLoad({ ...SCALE, paused: true }, [demand({ active: 2, runnable: 50 })], START_MS)).toBe(2);
  });

  it('leaves out what waits for a type that is paused', () => {
    expect(load({ active: 1, runnable: 50, paused: true }, { runnable: 2 })).toBe(3);
  });

  it('asks for no more than may run at once', () => {
    expect(load({ active: 2, runnable: 50, maxRunning: 5 })).toBe(5);
    expect(load({ active: 7, runnable: 50, maxRunning: 5 })).toBe(7);
  });

  const paces: [string, Pace, number][] = [
    ['3/s until the pod is there, the first at once', { perSecond: 3, nextInMs: 0, left: null }, 16],
    ['the same after 4 s of its wait', { perSecond: 3, nextInMs: 4_000, left: null }, 4],
    ['one a minute that may start now', { perSecond: 1 / 60, nextInMs: -20_000, left: null }, 1],
    ['one a minute whose time comes with the pod', { perSecond: 1 / 60, nextInMs: 5_000, left: null }, 1],
    ['one that has to wait longer than a pod takes', { perSecond: 3, nextInMs: 5_001, left: null }, 0],
    ['two left of the day', { perSecond: 3, nextInMs: 0, left: 2 }, 2],
    ['none left of the day', { perSecond: 3, nextInMs: 0, left: 0 }, 0],
    ['no rate and no day', { perSecond: 0, nextInMs: 0, left: null }, 50],
  ];
  it.each(paces)('bounds by a rate: %s', (_, pace, expected) => {
    expect(load({ runnable: 50, rate: pace })).toBe(expected);
    expect(load({ runnable: 50, budget: pace })).toBe(expected);
    expect(
      load({ active: 4, runnable: 50, rate: pace, budget: { perSecond: 0, nextInMs: 0, left: null } }),
    ).toBe(4 + expected);
  });
});

describe('every load', () => {
  const pace = fc.option(
    fc.record({
      perSecond: fc.oneof(fc.constant(0), fc.double({ min: 0.001, max: 1_000, noNaN: true })),
      nextInMs: fc.double({ min: -60_000, max: 60_000, noNaN: true }),
      left: fc.option(fc.nat(1_000)),
    }),
  );
  const type = fc.record({
    active: fc.nat(500),
    runnable: fc.nat(5_000),
    paused: fc.boolean(),
    maxRunning: fc.option(fc.integer({ min: 1, max: 1_000 })),
    rate: pace,
    budget: pace,
  });
  const scale = fc.record({
    maxReplicas: fc.integer({ min: 1, max: 200 }),
    jobsPerReplica: fc.integer({ min: 1, max: 100 }),
    paused: fc.boolean(),
  });
  const types = fc.array(type, { maxLength: 5 });
  const activeOf = (all: readonly TypeDemand[]) => all.reduce((sum, t) => sum + t.active, 0);

  it('is a whole number from what runs to the larger of that and the capacity', () => {
    fc.assert(
      fc.property(scale, types, (pool, all) => {
        const found = poolLoad(pool, all, START_MS);
        expect(Number.isInteger(found)).toBe(true);
        expect(found).toBeGreaterThanOrEqual(activeOf(all));
        expect(found).toBeLessThanOrEqual(Math.max(activeOf(all), poolCapacity(pool)));
      }),
    );
  });

  it('is above 0 when a job runs, or when one could that nothing limits', () => {
    fc.assert(
      fc.property(scale, types, fc.nat(10), (pool, all, at) => {
        const free = demand({ runnable: 1 });
        expect(poolLoad({ ...pool, paused: false }, all.toSpliced(at, 0, free), START_MS)).toBeGreaterThan(0);
        expect(poolLoad(pool, all.toSpliced(at, 0, demand({ active: 1 })), START_MS)).toBeGreaterThan(0);
      }),
    );
  });

  it('does not fall when more work waits, and does not rise when a limit comes on top', () => {
    fc.assert(
      fc.property(scale, types, type, fc.nat(100), (pool, all, one, more) => {
        const of = (changed: TypeDemand) => poolLoad(pool, [...all, changed], START_MS);
        expect(of({ ...one, runnable: one.runnable + more })).toBeGreaterThanOrEqual(of(one));
        expect(of(one)).toBeLessThanOrEqual(
          of({ ...one, paused: false, maxRunning: null, rate: null, budget: null }),
        );
      }),
    );
  });
});
