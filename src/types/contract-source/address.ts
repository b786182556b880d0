import { keccak_256 } from '@noble/hashes/sha3.js';

const ADDRESS = /^0x[0-9a-fA-F]{40}$/;

/**
 * Whether `text` is an Ethereum address: `0x` and 40 hexadecimal digits, all in one case or in the mixed case of its
 * EIP-55 checksum. A wrong checksum is a typing error and is refused.
 */
export function isAddress(text: string): boolean {
  if (!ADDRESS.test(text)) return false;
  const digits = text.slice(2);
  return digits === digits.toLowerCase() || digits === digits.toUpperCase() || text === checksumAddress(text);
}

/** The mixed-case spelling of EIP-55, for people. Expects 40 hexadecimal digits after `0x`. */
export function checksumAddress(address: string): string {
  const digits = address.slice(2).toLowerCase();
  const hash = Buffer.from(keccak_256(Buffer.from(digits, 'ascii'))).toString('hex');
  const cased = Array.from(digits, (digit, at) =>
    Number.parseInt(hash[at] ?? '0', 16) >= 8 ? digit.toUpperCase() : digit,
  );
  return `0x${cased.join('')}`;
}

/** The key under which a contract is known, once per chain: `1:0xabc…`, in lower case. */
export function contractKey(chainId: number, address: string): string {
  return `${chainId}:${address.toLowerCase()}`;
}
