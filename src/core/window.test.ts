import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MIN_SHARE, planAdmission, typeShare } from './window.ts';

const demand = fc.record({
  open: fc.nat(300),
  waiting: fc.nat(2_000),
  raised: fc.nat(200),
  share: fc.integer({ min: MIN_SHARE, max: 2_000 }),
});

describe('planAdmission', () => {
  it('never goes beyond the window, a share or what waits', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 10, max: 1_000 }),
        fc.nat(1_200),
        fc.array(demand, { maxLength: 8 }),
        (size, used, parts) => {
          const demands = parts.map((part, n) => ({
            ...part,
            type: `t${n}`,
            raised: Math.min(part.raised, part.waiting),
          }));
          const plan = planAdmission({ size, used }, demands);

          const admitted = [...plan.values()].reduce((sum, n) => sum + n, 0);
          expect(admitted).toBeLessThanOrEqual(Math.max(0, size - used));
          for (const d of demands) {
            const count = plan.get(d.type) ?? 0;
            expect(count).toBeLessThanOrEqual(d.waiting);
            expect(count).toBeLessThanOrEqual(Math.max(0, d.share - d.open));
          }
        },
      ),
    );
  });

  it('goes round the types', () => {
    const plan = planAdmission({ size: 100, used: 0 }, [
      { type: 'flood', open: 0, waiting: 10_000, raised: 0, share: 1_000 },
      { type: 'trickle', open: 0, waiting: 30, raised: 0, share: 1_000 },
    ]);
    expect(plan.get('trickle')).toBe(30);
    expect(plan.get('flood')).toBe(60);
  });

  it('keeps a tenth for raised priority', () => {
    const ordinary = { type: 'a', open: 0, waiting: 5_000, raised: 0, share: 5_000 };
    expect(planAdmission({ size: 1_000, used: 0 }, [ordinary]).get('a')).toBe(900);
    expect(planAdmission({ size: 1_000, used: 900 }, [{ ...ordinary, open: 900 }]).get('a')).toBeUndefined();
    expect(planAdmission({ size: 1_000, used: 900 }, [{ ...ordinary, open: 900, raised: 70 }]).get('a')).toBe(
      70,
    );
  });
});

describe('typeShare', () => {
  it('is at least ten, and at most what the rate allows in a minute', () => {
    expect(typeShare({ capacity: 0, startedLastMinute: 0, ratePerSecond: null })).toBe(10);
    expect(typeShare({ capacity: 100, startedLastMinute: 0, ratePerSecond: null })).toBe(200);
    expect(typeShare({ capacity: 100, startedLastMinute: 10_000, ratePerSecond: 3 })).toBe(180);
    expect(typeShare({ capacity: 100, startedLastMinute: 0, ratePerSecond: 0.01 })).toBe(10);
  });
});
