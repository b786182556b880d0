import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareDecimals, divide, multiply, parsePrice, ratio } from './decimal.ts';

describe('a price', () => {
  it.each([
    ['67187.3358936566', '67187.3358936566'],
    ['0.01634790', '0.0163479'],
    ['1.2e-7', '0.00000012'],
    ['1E3', '1000'],
    ['9007199254740993.000000000000000001', '9007199254740993.000000000000000001'],
    ['123456789012345678901234567890', '123456789012345678901234567890'],
  ])('%s is kept as %s', (text, kept) => {
    expect(parsePrice(text)).toBe(kept);
  });

  it.each([
    ...['', '0', '0.000', '-1', '+1', 'NaN', 'Infinity', '1e999', '1e30', '1e-999', '1e-41', 'null', '0x10'],
    ...['1,5', ' 1', '1.', '.5', '1e9999', `1${'0'.repeat(100)}`, '१', '1_000'],
  ])('is not made of %j', (text) => {
    expect(parsePrice(text)).toBeNull();
  });

  it('is the same number that was written, whatever its digits', () => {
    const digits = fc.stringMatching(/^[1-9]\d{0,24}\.\d{0,30}[1-9]$/);
    fc.assert(fc.property(digits, (text) => parsePrice(text) === text));
  });
});

describe('arithmetic', () => {
  it('is of decimals, not of binary numbers', () => {
    expect(multiply('0.1', '3')).toBe('0.3');
    expect(multiply('0.1', '0.2')).toBe('0.02');
    expect(divide('1', '3')).toBe('0.33333333333333333333');
    expect(divide('1', '0.00000012')).toBe('8333333.3333333333333');
    expect(divide('2', '3')).toBe('0.66666666666666666667');
  });

  it('rounds a ratio once', () => {
    expect(ratio(['4040'], ['101'])).toBe('40');
    expect(ratio(['60000'], ['50000'])).toBe('1.2');
    expect(ratio([], ['3'])).toBe('0.33333333333333333333');
    expect(ratio(['3', '7'], [])).toBe('21');
  });

  it('compares what a double would take for equal', () => {
    expect(compareDecimals('9007199254740993', '9007199254740992')).toBeGreaterThan(0);
    expect(compareDecimals('0.10', '0.1')).toBe(0);
    expect(compareDecimals('0.00000000000000000001', '0.00000000000000000002')).toBeLessThan(0);
  });
});
