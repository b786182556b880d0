import { describe, expect, it } from 'vitest';
import { dueFires, nextFire, parseEvery, refuseCron } from './schedule.ts';

const berlin = (cron: string) => ({ cron, timeZone: 'Europe/Berlin' });
const firesAfter = (timing: Parameters<typeof nextFire>[0], from: string, count: number) => {
  const fires: string[] = [];
  for (let at: number | null = Date.parse(from); fires.length < count; ) {
    at = nextFire(timing, at);
    if (at === null) break;
    fires.push(new Date(at).toISOString());
  }
  return fires;
};

describe('nextFire', () => {
  it('fires once right after the gap for a time that the gap swallows', () => {
    expect(firesAfter(berlin('30 2 * * *'), '2026-03-28T02:00:00Z', 2)).toEqual([
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ]);
  });

  it('fires once for a named hour that comes twice', () => {
    expect(firesAfter(berlin('*/30 2 * * *'), '2026-10-25T00:00:00Z', 3)).toEqual([
      '2026-10-25T00:30:00.000Z',
      '2026-10-26T01:00:00.000Z',
      '2026-10-26T01:30:00.000Z',
    ]);
  });

  it('goes on evenly through a repeated hour when every hour is meant', () => {
    expect(firesAfter(berlin('0 * * * *'), '2026-10-24T23:30:00Z', 3)).toEqual([
      '2026-10-25T00:00:00.000Z',
      '2026-10-25T01:00:00.000Z',
      '2026-10-25T02:00:00.000Z',
    ]);
  });

  it('fires evenly since the epoch with a period', () => {
    expect(nextFire({ everySeconds: 10 }, 20_000)).toBe(30_000);
    expect(nextFire({ everySeconds: 10 }, 29_999)).toBe(30_000);
  });
});

describe('dueFires', () => {
  const timing = { everySeconds: 60 };
  const now = 10 * 60_000 + 5_000;

  it.each([
    ['none', 1, 10 * 60_000 - 1, [10 * 60_000]],
    ['last', 1, 0, [10 * 60_000]],
    ['all', 3, 0, [8 * 60_000, 9 * 60_000, 10 * 60_000]],
    ['all', 3, 9 * 60_000, [10 * 60_000]],
  ] as const)('with %s (limit %i) after %i', (policy, limit, afterMs, expected) => {
    expect(dueFires(timing, { policy, limit }, afterMs, now)).toEqual(expected);
  });

  it('leaves missed times out with none', () => {
    expect(dueFires({ everySeconds: 3_600 }, { policy: 'none', limit: 1 }, 0, 3_600_000 + 60_000)).toEqual(
      [],
    );
  });

  it('goes through a long outage quickly', () => {
    const startedAt = performance.now();
    expect(dueFires({ everySeconds: 1 }, { policy: 'all', limit: 5 }, 0, 400 * 86_400_000)).toHaveLength(5);
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});

describe('what may be written', () => {
  it.each([
    ['10s', 10],
    ['5m', 300],
    ['1d', 86_400],
    ['0s', null],
    ['10', null],
    ['40d', null],
    ['-1s', null],
  ])('reads every: %s', (text, expected) => {
    expect(parseEvery(text)).toBe(expected);
  });

  it.each([
    ['* * * * * *', 'UTC', 'cron'],
    ['@daily', 'UTC', 'cron'],
    ['61 * * * *', 'UTC', 'cron'],
    ['0 0 30 2 *', 'UTC', 'cron'],
    ['0 0 * * *', 'Mars/Olympus', 'timeZone'],
  ])('refuses %s in %s', (cron, zone, field) => {
    expect(refuseCron(cron, zone)?.field).toBe(field);
  });

  it('takes an ordinary expression', () => {
    expect(refuseCron('*/5 8-18 * * 1-5', 'Asia/Kolkata')).toBeNull();
  });
});
