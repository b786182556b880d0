import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseExactJson } from './exact-json.ts';

it('keeps every number as its sender wrote it', () => {
  const text = '{"a":1.10,"b":1e999,"c":[12345678901234567890.123456789],"d":-0,"e":null,"f":"2","g":true}';
  expect(parseExactJson(text)).toEqual({
    ...{ a: '1.10', b: '1e999', c: ['12345678901234567890.123456789'] },
    ...{ d: '-0', e: null, f: '2', g: true },
  });
});

it('reads what JSON.parse reads, and nothing else', () => {
  const stringify = (value: unknown) =>
    JSON.stringify(value, (_key, v) => (typeof v === 'number' ? String(v) : v));
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(stringify(parseExactJson(text))).toBe(stringify(JSON.parse(text)));
    }),
  );
  for (const text of ['', '{"a":NaN}', '{"a":', '<html>', '{"a":Infinity}', "{'a':1}", '{"a":01}'])
    expect(() => parseExactJson(text), text).toThrow(SyntaxError);
});
