import { expect, it } from 'vitest';
import { forEachLimited } from './for-each-limited.ts';
import { isUuid, uuidv7Floor } from './ids.ts';
import { adoptedJobId, specSha256 } from './queue-job-adoption.ts';

it('an adopted job has the same id whoever adopts it: a UUIDv7 of the creation', () => {
  const atMs = 1_800_000_000_000;
  const id = adoptedJobId('uid-1', atMs);
  expect(isUuid(id)).toBe(true);
  expect(id[14]).toBe('7');
  expect(id).toBe(adoptedJobId('uid-1', atMs));
  expect(id).not.toBe(adoptedJobId('uid-2', atMs));
  expect(id >= uuidv7Floor(atMs) && id < uuidv7Floor(atMs + 1)).toBe(true);
});

it('the hash of a spec knows an edit from a wish that may change', () => {
  const spec = { type: 'echo', input: { a: 1, b: { c: 2 } } };
  expect(specSha256({ ...spec, suspend: true, cancel: true })).toBe(specSha256(spec));
  expect(specSha256({ input: { b: { c: 2 }, a: 1 }, type: 'echo' })).toBe(specSha256(spec));
  expect(specSha256({ ...spec, input: { a: 1, b: { d: 2 } } })).not.toBe(specSha256(spec));
});

it('limited work stops at the first failure and lets the rest under way end', async () => {
  let running = 0;
  let most = 0;
  const done: number[] = [];
  const work = async (n: number) => {
    running += 1;
    most = Math.max(most, running);
    await Promise.resolve();
    running -= 1;
    if (n === 5) throw new Error('five');
    done.push(n);
  };
  await expect(forEachLimited([...Array(100).keys()], 4, work)).rejects.toThrow('five');
  expect(most).toBe(4);
  expect(running).toBe(0);
  expect(done.length).toBeLessThan(12);
});
