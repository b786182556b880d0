import { describe, expect, it } from 'vitest';
import { isUuid, uuidv7, uuidv7Floor } from './ids.ts';

describe('uuidv7', () => {
  it('makes ids of version 7 that are unique and in order', () => {
    const ids = Array.from({ length: 20_000 }, () => uuidv7());
    expect(new Set(ids).size).toBe(ids.length);
    expect([...ids].sort()).toEqual(ids);
    for (const id of ids.slice(0, 100)) {
      expect(isUuid(id)).toBe(true);
      expect(id[14]).toBe('7');
      expect('89ab').toContain(id[19]);
    }
  });

  it('stays in order when the clock steps back', () => {
    const now = Date.now() + 1_000;
    const before = uuidv7(now);
    expect(uuidv7(now - 60_000) > before).toBe(true);
  });

  it('holds its time, and its floor is below every id of the same moment', () => {
    const now = Date.now() + 10_000;
    const id = uuidv7(now);
    expect(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)).toBe(now);
    expect(uuidv7Floor(now) <= id).toBe(true);
    expect(uuidv7Floor(now + 1) > id).toBe(true);
  });
});
