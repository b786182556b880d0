import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checksumAddress, contractKey, isAddress } from './address.ts';

/** The test cases of EIP-55. */
const VECTORS = [
  '0x52908400098527886E0F7030069857D2E4169EE7',
  '0x8617E340B3D01FA5F11F306F4090FD50E238070D',
  '0xde709f2102306220921060314715629080e2fb77',
  '0x27b1fdb04752bbc536007a920d24acb045561c26',
  '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
  '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359',
  '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB',
  '0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb',
];

describe('isAddress', () => {
  it.each(VECTORS)('accepts %s in its checksum, lower and upper case', (address) => {
    expect(checksumAddress(address.toLowerCase())).toBe(address);
    expect(isAddress(address)).toBe(true);
    expect(isAddress(address.toLowerCase())).toBe(true);
    expect(isAddress(`0x${address.slice(2).toUpperCase()}`)).toBe(true);
  });

  it.each([
    ['a flipped case', '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD'],
    ['too short', '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe'],
    ['too long', '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed0'],
    ['no prefix', '5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'],
    ['an upper-case prefix', '0X52908400098527886E0F7030069857D2E4169EE7'],
    ['no digits', '0xzzAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'],
    ['a line feed', '0xde709f2102306220921060314715629080e2fb77\n'],
    ['nothing', ''],
  ])('refuses %s', (_what, address) => {
    expect(isAddress(address)).toBe(false);
  });

  it('finds every single flipped case', () => {
    const digits = fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: 40, maxLength: 40 });
    fc.assert(
      fc.property(digits, fc.nat(39), (characters, at) => {
        const good = checksumAddress(`0x${characters.join('')}`);
        const digit = good[at + 2] ?? '';
        const flipped = digit === digit.toLowerCase() ? digit.toUpperCase() : digit.toLowerCase();
        const bad = `${good.slice(0, at + 2)}${flipped}${good.slice(at + 3)}`;
        const rest = bad.slice(2);
        const oneCase = rest === rest.toLowerCase() || rest === rest.toUpperCase();
        expect(isAddress(bad)).toBe(flipped === digit || oneCase);
      }),
    );
  });

  it('gives one key to every spelling', () => {
    const keys = new Set(
      VECTORS.slice(0, 1).flatMap((a) => [contractKey(1, a), contractKey(1, a.toLowerCase())]),
    );
    expect([...keys]).toEqual(['1:0x52908400098527886e0f7030069857d2e4169ee7']);
  });
});
