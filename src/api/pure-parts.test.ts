import { expect, it } from 'vitest';
import { findUnsafeJson, toPointer } from '../core/json-safety.ts';
import { TokenBucket } from '../core/token-bucket.ts';
import { contentDisposition, parseRange } from './content.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { problemType } from './problem.ts';

it.each([
  ['{"a":[1,"\\u0000"]}', '/a/1'],
  ['{"a~/b":"\\ud800"}', '/a~0~1b'],
  ['{"constructor":1}', '/constructor'],
  ['[1e999]', '/0'],
  [`${'['.repeat(33)}${']'.repeat(33)}`, '/0'.repeat(32)],
])('finds what the ledger cannot keep in %s', (text, pointer) => {
  expect(findUnsafeJson(JSON.parse(text))).toMatchObject({ pointer });
});

it('lets ordinary JSON through', () => {
  expect(
    findUnsafeJson({ a: [1, -0.5, null, true, 'ü\n😀', { b: {} }], n: Number.MAX_SAFE_INTEGER }),
  ).toBeNull();
  expect(toPointer(['a/b', 0])).toBe('/a~1b/0');
});

it('binds a cursor to its query', () => {
  const id = '01890000-0000-7000-8000-000000000000';
  const cursor = encodeCursor(id, { namespace: 'a' });
  expect(decodeCursor(cursor, { namespace: 'a' })).toBe(id);
  expect(() => decodeCursor(cursor, { namespace: 'b' })).toThrow();
  expect(() => decodeCursor(`${cursor}A`, { namespace: 'a' })).toThrow();
});

it.each([
  [undefined, null],
  ['bytes=0-0', { start: 0, end: 1 }],
  ['bytes=5-', { start: 5, end: 10 }],
  ['bytes=-3', { start: 7, end: 10 }],
  ['bytes=-30', { start: 0, end: 10 }],
  ['bytes=2-99', { start: 2, end: 10 }],
  ['bytes=5-2', null],
  ['items=0-1', null],
  ['bytes=0-1,3-4', null],
])('reads the range %s', (header, expected) => {
  expect(parseRange(header, 10)).toEqual(expected);
});

it('refuses ranges outside', () => {
  expect(() => parseRange('bytes=10-', 10)).toThrow();
  expect(() => parseRange('bytes=-0', 10)).toThrow();
});

it('names files so that no client is misled', () => {
  expect(contentDisposition('a.png')).toBe('attachment; filename="a.png"');
  expect(contentDisposition('a"\r\nX: y/../é.png')).toBe(
    `attachment; filename="a___X: y_..__.png"; filename*=UTF-8''a%22%0D%0AX%3A%20y_.._%C3%A9.png`,
  );
});

it('names problems by stable paths', () => {
  expect(problemType('UnsupportedMediaType')).toBe('/problems/unsupported-media-type');
});

it('fills a bucket with time', () => {
  let now = 0;
  const bucket = new TokenBucket({ perSecond: 2, burst: 2 }, { now: () => now });
  expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([0, 0, 500]);
  now = 500;
  expect([bucket.take(), bucket.take()]).toEqual([0, 500]);
});
