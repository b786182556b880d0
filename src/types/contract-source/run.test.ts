import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  answerWith,
  etherscan,
  failureOf,
  load,
  sourcify,
  useFakeProviders,
} from '../../../test/support/contract-source.ts';
import { KNOWN } from '../../../test/support/fake-contracts.ts';
import { contractManifest, contractSourceType, listContractFiles } from './type.ts';

useFakeProviders();

describe('contract-source from Etherscan', () => {
  it('loads a single file', async () => {
    const { result, budgets } = await load({ address: KNOWN.single });
    expect(result).toMatchObject({
      chainId: 1,
      address: KNOWN.single,
      name: 'Tally',
      source: 'etherscan',
      language: 'Solidity',
      compiler: 'v0.8.24+commit.e11b9ed9',
      license: 'MIT',
      optimisation: { enabled: true, runs: 200 },
      evmVersion: null,
      storage: 'inline',
      isProxy: false,
      implementation: null,
    });
    const [file] = result.files;
    expect(result.files).toHaveLength(1);
    expect(file?.path).toBe('Tally.sol');
    expect(file?.sha256).toBe(
      createHash('sha256')
        .update(file?.content ?? '')
        .digest('hex'),
    );
    expect(budgets).toEqual([{ name: 'etherscan', perSecond: 3, perDay: 100_000 }]);
  });

  it.each(['multi', 'standard'] as const)('loads the %s shape with all its files', async (shape) => {
    const { result } = await load({ address: KNOWN[shape] });
    expect(result.files.map(({ entry }) => entry)).toEqual([
      'contracts/HarbourToken.sol',
      'contracts/access/Owned.sol',
      'contracts/interfaces/IToken.sol',
      'contracts/libraries/Berths.sol',
    ]);
    expect(result.files[0]?.content).toContain('contract HarbourToken is Owned, IToken');
  });

  it('loads the implementation of a proxy, too', async () => {
    const { result } = await load({ address: KNOWN.proxy });
    expect(result.isProxy).toBe(true);
    expect(result.implementation).toMatchObject({ address: KNOWN.standard, reason: null });
    const entries = listContractFiles(result).map(({ entry }) => entry);
    expect(entries).toHaveLength(5);
    expect(entries).toContain('implementation/contracts/access/Owned.sol');
  });

  it('says why an implementation is not there', async () => {
    const { result } = await load({ address: KNOWN.proxyOfUnverified });
    expect(result.implementation).toEqual({
      address: KNOWN.unverified,
      contract: null,
      reason: 'ContractNotVerified',
    });
  });
});

describe('contract-source with a source made to hurt', () => {
  it('makes hostile paths harmless and keeps them in the manifest', async () => {
    const { result } = await load({ address: KNOWN.hostile });
    expect(result.files.map(({ path, entry }) => [path, entry])).toEqual([
      ['../../../../.env', '.env'],
      ['src/Attack.sol', 'src/Attack.sol'],
      ['SRC/attack.sol', 'SRC/attack~2.sol'],
      ['C:\\Windows\\con.sol', 'C_/Windows/_con.sol'],
    ]);
    expect(contractManifest(result)).toMatchObject({
      files: [{ entry: '.env', path: '../../../../.env' }, {}, {}, {}],
    });
  });

  it('stores large sources as blobs, byte for byte', async () => {
    const content = 'ü'.repeat(300_000);
    answerWith({ SourceCode: content });
    const { result, stored } = await load({ address: KNOWN.single });
    expect(result.storage).toBe('blobs');
    expect(result.files[0]).toMatchObject({ blobId: stored[0]?.blobId, bytes: 600_000 });
    expect(result.files[0]).not.toHaveProperty('content');
    expect(stored[0]?.content.toString()).toBe(content);
    expect(Buffer.byteLength(JSON.stringify(result))).toBeLessThan(1024 * 1024);
  });

  it('stores a source with NUL as a blob and leaves none in the result', async () => {
    answerWith({ SourceCode: 'a\0b', ContractName: 'X\0', ABI: '[{"name":"\\u0000\\ud800"}]' });
    const { result, stored } = await load({ address: KNOWN.single });
    expect(stored[0]?.content).toEqual(Buffer.from('a\0b'));
    expect(JSON.stringify(result)).not.toMatch(/\\u0000|\\ud800/);
    expect(result.abi).toEqual([{ name: '\ufffd\ufffd' }]);
  });

  it.each(['{{"sources": 1}}', '{"A.sol": 1}', '{{ not json }}'])(
    'refuses the malformed source %s',
    async (SourceCode) => {
      answerWith({ SourceCode });
      expect(await failureOf(load({ address: KNOWN.single }, { order: ['etherscan'] }))).toMatchObject({
        code: 'SourceMalformed',
      });
    },
  );

  it('refuses more files than it stores', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 2_001 }, (_, at) => [`${at}.sol`, { content: '' }]),
    );
    answerWith({ SourceCode: JSON.stringify(files) });
    expect(await failureOf(load({ address: KNOWN.single }))).toMatchObject({ code: 'SourceTooLarge' });
  });
});

describe('contract-source from Sourcify', () => {
  it('is asked when there is no API key', async () => {
    const before = etherscan.calls.length;
    const { result, budgets } = await load({ address: KNOWN.proxy }, { etherscan: { apiKey: '' } });
    expect(etherscan.calls).toHaveLength(before);
    expect(budgets.map(({ name }) => name)).toEqual(['sourcify', 'sourcify']);
    expect(result).toMatchObject({
      source: 'sourcify',
      evmVersion: 'paris',
      language: 'Solidity',
      isProxy: true,
    });
    expect(result.implementation?.contract).toMatchObject({ source: 'sourcify', license: 'Apache-2.0' });
  });

  it('is asked when Etherscan has no verified source', async () => {
    answerWith({ SourceCode: '', ABI: 'Contract source code not verified' });
    expect((await load({ address: KNOWN.single })).result.source).toBe('sourcify');
  });

  it('is asked first when the order says so', async () => {
    const { result } = await load({ address: KNOWN.single }, { order: ['sourcify', 'etherscan'] });
    expect(result.source).toBe('sourcify');
  });

  it('does not know the chain', async () => {
    const failed = load({ address: KNOWN.single, chainId: 999 }, { order: ['sourcify'] });
    expect(await failureOf(failed)).toMatchObject({ code: 'ChainUnsupported' });
  });

  it('answers 429 with the time to wait', async () => {
    sourcify.fail(KNOWN.single, { failure: { kind: 'status', status: 429, retryAfter: '7' } });
    const error = await failureOf(load({ address: KNOWN.single }, { order: ['sourcify'] }));
    expect(error).toMatchObject({ code: 'UpstreamRateLimited', retryAfterMs: 7_000 });
  });
});

describe('the input', () => {
  const check = (input: unknown) => contractSourceType.input.safeParse(input);

  it('becomes one spelling', () => {
    const address = '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed';
    expect(check({ address }).data).toEqual({ address: address.toLowerCase(), chainId: 1 });
  });

  it.each([
    { address: '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD' },
    { address: '0x12' },
    { address: 12 },
    { address: `${KNOWN.single}\0` },
    { address: KNOWN.single, chainId: 0 },
    { address: KNOWN.single, chainId: '1' },
    { address: KNOWN.single, extra: true },
    {},
  ])('refuses %j', (input) => {
    expect(check(input).success).toBe(false);
  });
});
