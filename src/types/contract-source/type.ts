import { z } from 'zod';
import { defineJobType } from '../../core/job-type.ts';
import { isAddress } from './address.ts';

const address = z
  .string()
  .max(42)
  .regex(/^0x[0-9a-fA-F]{40}$/, 'expected 0x and 40 hexadecimal digits')
  .refine((text) => isAddress(text), 'the checksum (EIP-55) does not match: a digit or its case is wrong')
  .overwrite((text) => text.toLowerCase());

const input = z.strictObject({
  address: address.describe('The contract; mixed case must match its EIP-55 checksum. Kept in lower case'),
  chainId: z.int().min(1).max(Number.MAX_SAFE_INTEGER).default(1).describe('EIP-155 chain id; 1 is Ethereum'),
});

/** One source file. Exactly one of `content` and `blobId` is there: see `storage` of the result. */
const file = z.strictObject({
  /** The path as its author wrote it; NUL and lone surrogates are replaced. Never use it as a file name. */
  path: z.string(),
  /** The same made safe: distinct over the whole result, relative, fit for every file system. */
  entry: z.string(),
  bytes: z.int(),
  /** Of the file's UTF-8 bytes, lower-case hexadecimal. */
  sha256: z.string(),
  content: z.string().optional(),
  blobId: z.string().optional(),
});

const contract = z.strictObject({
  /** EIP-55 spelling. */
  address: z.string(),
  name: z.string(),
  source: z.enum(['etherscan', 'sourcify']),
  language: z.enum(['Solidity', 'Vyper', 'Yul', 'unknown']),
  compiler: z.string(),
  license: z.string().nullable(),
  optimisation: z.strictObject({ enabled: z.boolean(), runs: z.int().nullable() }),
  /** Null is the compiler's default. */
  evmVersion: z.string().nullable(),
  /** ABI-encoded, hexadecimal without `0x`; null when unknown. */
  constructorArguments: z.string().nullable(),
  /** Null when the provider has none or it exceeds 256 KiB. */
  abi: z.array(z.unknown()).nullable(),
  files: z.array(file),
});

const result = contract.extend({
  chainId: z.int(),
  /** `inline`: every file has `content`. `blobs`: every file is a result blob, named by `blobId`. Never mixed. */
  storage: z.enum(['inline', 'blobs']),
  isProxy: z.boolean(),
  /** Of a proxy: what it points at now. One level; `contract` is null, with the reason's code, when it is not known. */
  implementation: z
    .strictObject({ address: z.string(), contract: contract.nullable(), reason: z.string().nullable() })
    .nullable(),
});

export type ContractSourceInput = z.output<typeof input>;
export type ContractFile = z.output<typeof file>;
export type Contract = z.output<typeof contract>;
export type ContractSourceResult = z.output<typeof result>;

/**
 * All files of a result, those of a proxy's implementation last, in the order of the zip. Each is served from `content`
 * or from the blob `blobId`.
 */
export function listContractFiles(value: ContractSourceResult): ContractFile[] {
  return [...value.files, ...(value.implementation?.contract?.files ?? [])];
}

/** What a zip of the files carries as `manifest.json`: which entry was which path, of which contract. */
export function contractManifest(value: ContractSourceResult): object {
  const describe = (of: string, files: ContractFile[]) =>
    files.map(({ entry, path, bytes, sha256 }) => ({ entry, path, contract: of, bytes, sha256 }));
  const implementation = value.implementation?.contract;
  return {
    chainId: value.chainId,
    address: value.address,
    files: [
      ...describe(value.address, value.files),
      ...(implementation ? describe(implementation.address, implementation.files) : []),
    ],
  };
}

/**
 * Loads a verified contract's source. Terminal errors: `ContractNotVerified`, `ChainUnsupported`, `ProviderKeyInvalid`,
 * `UpstreamRefused`, `UpstreamTooLarge`, `SourceMalformed`, `SourceTooLarge`, `NoProvider`. Retryable errors:
 * `UpstreamRateLimited`, `UpstreamUnavailable`, `UpstreamUnreachable`, `UpstreamTimeout`, `UpstreamInvalidAnswer`.
 */
export const contractSourceType = defineJobType({
  name: 'contract-source',
  description: "Loads a verified contract's source from Etherscan or Sourcify, with all its files",
  input,
  result,
  defaults: {
    timeoutSeconds: 120,
    maxTimeoutSeconds: 600,
    retries: 5,
    backoff: { baseMs: 2_000, maxMs: 300_000 },
    ttlSecondsAfterFinished: 3_600,
  },
  limits: { budget: 'etherscan' },
});
