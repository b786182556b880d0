import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isStorableText, planEntries, safeEntryName, storableText } from './source-files.ts';

const fragment = fc.constantFrom(
  '..',
  '.',
  '/',
  '\\',
  'C:',
  'a',
  'A',
  'ß',
  'SS',
  'con',
  'NUL.sol',
  ' ',
  '\0',
  '\u202e',
  '~2',
  '.sol',
  'é',
  'e\u0301',
  'x'.repeat(250),
  '\ud800',
);
const path = fc.oneof(
  fc.array(fragment, { maxLength: 12 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 60 }),
);

describe('safeEntryName', () => {
  it.each([
    ['../../../../.env', '.env'],
    ['/etc/passwd', 'etc/passwd'],
    ['C:\\Windows\\system.ini', 'C_/Windows/system.ini'],
    ['\\\\server\\share\\x.sol', 'server/share/x.sol'],
    ['a/./b/../c.sol', 'a/b/c.sol'],
    ['con.sol', '_con.sol'],
    ['lib/LPT1', 'lib/_LPT1'],
    ['a\0b\u202e.sol', 'a_b_.sol'],
    ['name. . ', 'name'],
    ['@openzeppelin/contracts/Token.sol', '@openzeppelin/contracts/Token.sol'],
    ['https://example.org/A.sol', 'https_/example.org/A.sol'],
    ['', 'unnamed'],
    ['../..', 'unnamed'],
  ])('makes %j to %j', (given, expected) => {
    expect(safeEntryName(given)).toBe(expected);
  });

  it('keeps the extension of a name that is too long', () => {
    const name = safeEntryName(`${'ü'.repeat(300)}.sol`);
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(200);
    expect(name.endsWith('ü.sol')).toBe(true);
  });

  it('is safe for any path, and leaves a safe name as it is', () => {
    fc.assert(
      fc.property(path, (given) => {
        const name = safeEntryName(given);
        expectSafe(name);
        expect(safeEntryName(name)).toBe(name);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('planEntries', () => {
  it('marks names that are taken, also in another case', () => {
    expect(planEntries(['src/Attack.sol', 'SRC/attack.sol', 'src/Attack.sol', 'src//Attack.sol'])).toEqual([
      'src/Attack.sol',
      'SRC/attack~2.sol',
      'src/Attack~3.sol',
      'src/Attack~4.sol',
    ]);
  });

  it('keeps files and folders of one name apart', () => {
    expect(planEntries(['a', 'a/b', 'A/c/d'])).toEqual(['a', 'a~2/b', 'A~2/c/d']);
    expect(planEntries(['x/a/b', 'x/a', 'x'])).toEqual(['x/a/b', 'x/a~2', 'x~2']);
  });

  it('does not let a file take the place of the manifest', () => {
    expect(planEntries(['MANIFEST.json'])).toEqual(['MANIFEST~2.json']);
  });

  it('names each file once and safely, whatever the paths', () => {
    fc.assert(
      fc.property(fc.array(path, { maxLength: 30 }), (paths) => {
        const entries = planEntries(paths);
        expect(entries).toHaveLength(paths.length);
        const folded = entries.map((entry) => entry.normalize('NFKC').toLowerCase());
        expect(new Set(folded).size).toBe(paths.length);
        for (const entry of entries) {
          expectSafe(entry);
          expect(folded.some((other) => other.startsWith(`${entry.normalize('NFKC').toLowerCase()}/`))).toBe(
            false,
          );
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('names thousands of equal paths without quadratic work', () => {
    const started = performance.now();
    expect(new Set(planEntries(Array.from({ length: 20_000 }, () => 'A.sol'))).size).toBe(20_000);
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});

describe('storableText', () => {
  it('replaces what JSON columns refuse', () => {
    expect(storableText('a\0b\ud800')).toBe('a\ufffdb\ufffd');
    expect(isStorableText('a\0')).toBe(false);
    expect(isStorableText('\ud800')).toBe(false);
    expect(isStorableText('naïve 🚢\n')).toBe(true);
  });
});

function expectSafe(name: string): void {
  expect(name).not.toMatch(/^\/|\\|:|\/$|\/\//);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may be there
  expect(name).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  expect(name.isWellFormed()).toBe(true);
  for (const part of name.split('/')) {
    expect(part).not.toMatch(/^(?:\.{1,2})?$|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i);
    expect(Buffer.byteLength(part)).toBeLessThanOrEqual(200);
  }
}
