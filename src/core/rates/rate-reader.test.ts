import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLogger } from '../logger.ts';
import type { RateSnapshot } from './rate.ts';
import { type RateCopies, RateReader } from './rate-reader.ts';

/** A ledger in memory that can be away, and counts what it is asked. */
class Ledger {
  version = 1;
  away = false;
  reads = 0;

  async readVersion(): Promise<number> {
    if (this.away) throw new Error('away');
    return this.version;
  }

  async readSnapshot(): Promise<RateSnapshot> {
    if (this.away) throw new Error('away');
    this.reads += 1;
    return snapshot(this.version);
  }
}

class Copies implements RateCopies {
  held: RateSnapshot | null = null;

  async get(): Promise<RateSnapshot | null> {
    return this.held;
  }

  put(_namespace: string, newer: RateSnapshot): void {
    if (this.held === null || newer.version >= this.held.version) this.held = newer;
  }
}

function snapshot(version: number): RateSnapshot {
  const pair = { provider: 'a', base: 'BTC', quote: 'USDT', intervalSeconds: 10, error: null };
  return { version, rates: [{ ...pair, price: `${version}`, atMs: 0 }] };
}

let ledger: Ledger;
let copies: Copies;
let reader: RateReader;
let nowMs: number;

beforeEach(() => {
  vi.useFakeTimers();
  nowMs = 0;
  ledger = new Ledger();
  copies = new Copies();
  const options = { source: ledger, copies, logger: silentLogger, clock: { now: () => nowMs } };
  reader = new RateReader({ ...options, pollMs: 1_000, forgetMs: 10_000 });
});
afterEach(() => {
  reader.stop();
  vi.useRealTimers();
});

const version = async () => (await reader.board('default')).version;

describe('the rates in memory', () => {
  it('are read once, however many ask at once, and then without a wait', async () => {
    expect(await Promise.all([version(), version(), version()])).toEqual([1, 1, 1]);
    expect(ledger.reads).toBe(1);
    expect(reader.board('default')).not.toBeInstanceOf(Promise);
  });

  it('follow notifications, and a flood of them shares reads', async () => {
    await version();
    for (let n = 2; n <= 50; n += 1) {
      ledger.version = n;
      reader.onChange('default', n);
    }
    await vi.waitFor(async () => expect(await version()).toBe(50));
    expect(ledger.reads).toBeLessThan(5);
    reader.onChange('default', 49);
    reader.onChange('nobody-read-it', 99);
    await vi.advanceTimersByTimeAsync(100);
    expect(await version()).toBe(50);
  });

  it('follow without notifications too, a poll later', async () => {
    await version();
    ledger.version = 7;
    await vi.advanceTimersByTimeAsync(1_100);
    expect(await version()).toBe(7);
  });

  it('tell those who listen of each newer board, until they stop', async () => {
    const heard: number[] = [];
    const stop = await reader.subscribe('default', (board) => heard.push(board.version));
    ledger.version = 2;
    reader.onChange('default', 2);
    await vi.advanceTimersByTimeAsync(10);
    stop();
    ledger.version = 3;
    reader.onChange('default', 3);
    await vi.advanceTimersByTimeAsync(10);
    expect(heard).toEqual([2]);
  });

  it('are forgotten when nobody reads them, but not while somebody listens', async () => {
    await version();
    nowMs = 11_000;
    await vi.advanceTimersByTimeAsync(1_100);
    expect(reader.board('default')).toBeInstanceOf(Promise);
    await reader.subscribe('default', () => {});
    nowMs = 30_000;
    await vi.advanceTimersByTimeAsync(1_100);
    expect(reader.board('default')).not.toBeInstanceOf(Promise);
  });
});

describe('a copy', () => {
  it('is taken when it is as new as the ledger says, and put there when not', async () => {
    copies.held = snapshot(1);
    expect(await version()).toBe(1);
    expect(ledger.reads).toBe(0);
    ledger.version = 2;
    reader.onChange('default', 2);
    await vi.waitFor(() => expect(copies.held?.version).toBe(2));
    expect(ledger.reads).toBe(1);
  });

  it('of before is not taken for the rates of now', async () => {
    copies.held = snapshot(1);
    ledger.version = 5;
    expect(await version()).toBe(5);
  });

  it('will do while the ledger is away; without one the read fails, and the next tries again', async () => {
    ledger.away = true;
    await expect(version()).rejects.toThrow('away');
    copies.held = snapshot(3);
    expect(await version()).toBe(3);
  });

  it('or not, what is in memory is answered while the ledger is away, and caught up with later', async () => {
    await version();
    ledger.away = true;
    ledger.version = 4;
    reader.onChange('default', 4);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(await version()).toBe(1);
    ledger.away = false;
    await vi.advanceTimersByTimeAsync(1_100);
    expect(await version()).toBe(4);
  });
});
