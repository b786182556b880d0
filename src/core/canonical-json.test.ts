import { expect, it } from 'vitest';
import { canonicalJson } from './canonical-json.ts';

it('writes equal values alike', () => {
  expect(canonicalJson({ b: [1, { d: 1, c: undefined }], a: 'x' })).toBe(
    canonicalJson({ a: 'x', b: [1, { d: 1 }] }),
  );
  expect(canonicalJson({ a: 1 })).not.toBe(canonicalJson({ a: '1' }));
});
