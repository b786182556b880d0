import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** A contract that the stand-in providers know. */
export interface FakeContract {
  name: string;
  shape: 'single' | 'multi' | 'standard' | 'unverified';
  files: Record<string, string>;
  implementation?: string;
}

const EXAMPLE = new URL('../../examples/contracts/', import.meta.url);
const EXAMPLE_FILES = [
  'HarbourToken.sol',
  'access/Owned.sol',
  'interfaces/IToken.sol',
  'libraries/Berths.sol',
];

function exampleFiles(): Record<string, string> {
  return Object.fromEntries(
    EXAMPLE_FILES.map((path) => [`contracts/${path}`, readFileSync(new URL(path, EXAMPLE), 'utf8')]),
  );
}

const single =
  'pragma solidity ^0.8.24;\n\n/// Counts ships.\ncontract Tally {\n  uint256 public ships;\n\n  function arrive() external {\n    ships += 1;\n  }\n}\n';
const proxy =
  'pragma solidity ^0.8.24;\n\n/// Sends every call on.\ncontract Gangway {\n  address public implementation;\n}\n';

/** Addresses with a meaning, the same at both stand-ins. */
export const KNOWN = {
  single: '0x1000000000000000000000000000000000000001',
  multi: '0x1000000000000000000000000000000000000002',
  /** A realistic contract of four files, for the demo. */
  standard: '0x1000000000000000000000000000000000000003',
  proxy: '0x1000000000000000000000000000000000000004',
  unverified: '0x1000000000000000000000000000000000000005',
  proxyOfUnverified: '0x1000000000000000000000000000000000000006',
  /** Its paths try to leave the folder and to hide one another. */
  hostile: '0x1000000000000000000000000000000000000007',
} as const;

export const KNOWN_CONTRACTS: ReadonlyMap<string, FakeContract> = new Map<string, FakeContract>([
  [KNOWN.single, { name: 'Tally', shape: 'single', files: { 'Tally.sol': single } }],
  [KNOWN.multi, { name: 'HarbourToken', shape: 'multi', files: exampleFiles() }],
  [KNOWN.standard, { name: 'HarbourToken', shape: 'standard', files: exampleFiles() }],
  [
    KNOWN.proxy,
    { name: 'Gangway', shape: 'single', files: { 'Gangway.sol': proxy }, implementation: KNOWN.standard },
  ],
  [KNOWN.unverified, { name: '', shape: 'unverified', files: {} }],
  [
    KNOWN.proxyOfUnverified,
    { name: 'Gangway', shape: 'single', files: { 'Gangway.sol': proxy }, implementation: KNOWN.unverified },
  ],
  [
    KNOWN.hostile,
    {
      name: 'Attack',
      shape: 'standard',
      files: {
        '../../../../.env': 'a',
        'src/Attack.sol': 'b',
        'SRC/attack.sol': 'c',
        'C:\\Windows\\con.sol': 'd',
      },
    },
  ],
]);

/** Solidity of about 4 kB that no other address has: for load tests. */
export function generateContract(address: string): FakeContract {
  const name = `Cargo${createHash('sha256').update(address).digest('hex').slice(0, 12)}`;
  let body = '';
  for (let hold = 0; hold < 24; hold += 1) {
    body += `  /// Hold ${hold} of ship ${address}.\n  uint256 internal hold${hold};\n\n  function load${hold}(uint256 tons) external {\n    hold${hold} += tons;\n  }\n\n`;
  }
  const file = `pragma solidity ^0.8.24;\n\ncontract ${name} {\n${body}}\n`;
  return { name, shape: 'single', files: { [`${name}.sol`]: file } };
}
