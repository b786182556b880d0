import { createHash } from 'node:crypto';
import { TerminalError } from '../../core/errors.ts';
import type { JobBlobs } from '../../core/handler.ts';
import type { LoadedContract } from './loaded-contract.ts';
import { isStorableText, planEntries, storableText } from './source-files.ts';
import type { Contract, ContractFile, ContractSourceResult } from './type.ts';

/** JSON bytes of the sources up to which they stay in the result itself; a result may have 1 MiB. */
const MAX_INLINE_BYTES = 512 * 1024;
const MAX_RESULT_BYTES = 1024 * 1024;
const MAX_ABI_BYTES = 256 * 1024;
const MAX_FILES = 2_000;

interface Loaded {
  chainId: number;
  address: string;
  contract: LoadedContract;
  implementation: { address: string; contract: LoadedContract | null; reason: string | null } | null;
}

/**
 * Makes the result of what was loaded: names for all files, their text in the result when it fits and as blobs when not.
 *
 * @throws TerminalError `SourceTooLarge` for more than 2,000 files, or when the result without sources exceeds 1 MiB.
 */
export async function storeResult(
  { blobs, signal }: { blobs: JobBlobs; signal: AbortSignal },
  { chainId, address, contract, implementation }: Loaded,
): Promise<ContractSourceResult> {
  const own = contract.files;
  const theirs = implementation?.contract?.files ?? [];
  const all = [...own, ...theirs];
  if (all.length > MAX_FILES) throw tooLarge(`${all.length} files; at most ${MAX_FILES} are stored`);

  const entries = planEntries([
    ...own.map(({ path }) => path),
    ...theirs.map(({ path }) => `implementation/${path}`),
  ]);
  const storage = fitsInline(all) ? 'inline' : 'blobs';
  const files: ContractFile[] = [];
  for (const [at, { path, content }] of all.entries()) {
    signal.throwIfAborted();
    const bytes = Buffer.from(content, 'utf8');
    const entry = entries[at] ?? `file-${at}`;
    const described = { path: storableText(path), entry, bytes: bytes.length, sha256: sha256(bytes) };
    if (storage === 'inline') {
      files.push({ ...described, content });
    } else {
      const { blobId } = await blobs.put(bytes, entry, 'text/plain; charset=utf-8');
      files.push({ ...described, blobId });
    }
  }

  const result: ContractSourceResult = {
    chainId,
    ...describe(address, contract, files.slice(0, own.length)),
    storage,
    isProxy: contract.isProxy,
    implementation: implementation && {
      address: implementation.address,
      contract:
        implementation.contract &&
        describe(implementation.address, implementation.contract, files.slice(own.length)),
      reason: implementation.reason,
    },
  };
  const bytes = Buffer.byteLength(JSON.stringify(result));
  if (bytes > MAX_RESULT_BYTES)
    throw tooLarge(`a description of ${bytes} bytes; at most ${MAX_RESULT_BYTES} are stored`);
  return result;
}

/** A text that JSON columns cannot hold goes into a blob byte for byte, and all others with it. */
function fitsInline(files: LoadedContract['files']): boolean {
  let bytes = 0;
  for (const { content } of files) {
    if (!isStorableText(content)) return false;
    bytes += Buffer.byteLength(JSON.stringify(content));
    if (bytes > MAX_INLINE_BYTES) return false;
  }
  return true;
}

function describe(address: string, contract: LoadedContract, files: ContractFile[]): Contract {
  const { license, evmVersion, constructorArguments } = contract;
  return {
    address,
    name: storableText(contract.name),
    source: contract.source,
    language: contract.language,
    compiler: storableText(contract.compiler),
    license: license && storableText(license),
    optimisation: contract.optimisation,
    evmVersion: evmVersion && storableText(evmVersion),
    constructorArguments: constructorArguments && storableText(constructorArguments),
    abi: storableAbi(contract.abi),
    files,
  };
}

/** The ABI with storable names; null when it is absurdly large, because the sources matter more. */
function storableAbi(abi: unknown[] | null): unknown[] | null {
  if (abi === null) return null;
  const text = JSON.stringify(abi);
  if (Buffer.byteLength(text) > MAX_ABI_BYTES) return null;
  if (!/\\u(?:0000|d[89a-f])/i.test(text)) return abi;
  const clean: unknown = JSON.parse(text, (_key, value: unknown) =>
    typeof value === 'string' ? storableText(value) : value,
  );
  return Array.isArray(clean) ? clean : null;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function tooLarge(what: string): TerminalError {
  return new TerminalError('SourceTooLarge', `The contract has ${what}`);
}
