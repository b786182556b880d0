import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KNOWN } from '../../../test/support/fake-contracts.ts';
import { startFakeEtherscan } from '../../../test/support/fake-etherscan.ts';
import type { Failure, FakeProvider } from '../../../test/support/fake-provider.ts';
import { startFakeSourcify } from '../../../test/support/fake-sourcify.ts';
import { runHandler, type TestContextOptions } from '../../../test/support/handler-context.ts';
import { HandBackError, RetryableError, TerminalError } from '../../core/errors.ts';
import { type ContractSourceSettings, createContractSourceHandler } from './run.ts';
import {
  type ContractSourceResult,
  contractManifest,
  contractSourceType,
  listContractFiles,
} from './type.ts';

const API_KEY = 'SECRETKEYOFTHETEST0123456789ABCDEF';

let etherscan: FakeProvider;
let sourcify: FakeProvider;

beforeAll(async () => {
  etherscan = await startFakeEtherscan({ apiKey: API_KEY, unlimited: true });
  sourcify = await startFakeSourcify();
});
afterAll(async () => {
  await Promise.all([etherscan.close(), sourcify.close()]);
});
afterEach(() => {
  for (const address of Object.values(KNOWN)) {
    etherscan.fail(address, null);
    sourcify.fail(address, null);
  }
});

function load(input: unknown, settings: ContractSourceSettings = {}, options: TestContextOptions = {}) {
  const registration = createContractSourceHandler({
    timeoutMs: 500,
    maxAnswerBytes: 1_000_000,
    ...settings,
    etherscan: { baseUrl: etherscan.url, apiKey: API_KEY, ...settings.etherscan },
    sourcify: { baseUrl: sourcify.url, ...settings.sourcify },
  });
  return runHandler<ContractSourceResult>(registration, input, options);
}

async function failureOf(run: Promise<unknown>): Promise<Error & { code?: string; retryAfterMs?: number }> {
  const error = await run.then(
    () => new Error('The handler succeeded'),
    (reason: unknown) => reason as Error,
  );
  const seen = `${error.message} ${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`;
  expect(seen).not.toContain(API_KEY);
  expect(seen).not.toContain('apikey');
  return error;
}

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

function answerWith(fields: Record<string, string>): void {
  const record = { SourceCode: 'x', ABI: '[]', ContractName: 'X', CompilerVersion: 'v0.8.24', ...fields };
  etherscan.fail(KNOWN.single, {
    failure: { kind: 'json', body: { status: '1', message: 'OK', result: [record] } },
  });
}

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

describe('contract-source when it cannot', () => {
  it('says that nobody has the source', async () => {
    const error = await failureOf(load({ address: KNOWN.unverified }));
    expect(error).toBeInstanceOf(TerminalError);
    expect(error.code).toBe('ContractNotVerified');
  });

  it('says that the key is wrong rather than that nobody has the source', async () => {
    const failed = load({ address: KNOWN.unverified }, { etherscan: { apiKey: `${API_KEY}x` } });
    expect(await failureOf(failed)).toMatchObject({ code: 'ProviderKeyInvalid' });
  });

  it('says that no provider is left', async () => {
    const failed = load({ address: KNOWN.single }, { etherscan: { apiKey: '' }, order: ['etherscan'] });
    expect(await failureOf(failed)).toMatchObject({ code: 'NoProvider' });
  });

  it('says that the chain is not served', async () => {
    expect(await failureOf(load({ address: KNOWN.single, chainId: 999 }))).toMatchObject({
      code: 'ChainUnsupported',
    });
  });
});

describe('contract-source when Etherscan refuses', () => {
  it.each<[string, string, string]>([
    ['Max rate limit reached', 'UpstreamRateLimited', 'RetryableError'],
    ['Max calls per sec rate limit reached (3/sec)', 'UpstreamRateLimited', 'RetryableError'],
    [
      'Max daily rate limit reached. 110000 (100%) of 100000 day/limit',
      'UpstreamRateLimited',
      'RetryableError',
    ],
    [
      'Unexpected error, timeout or server too busy. Please try again later',
      'UpstreamUnavailable',
      'RetryableError',
    ],
    ['Invalid API Key', 'ProviderKeyInvalid', 'TerminalError'],
    ['Missing/Invalid API Key', 'ProviderKeyInvalid', 'TerminalError'],
    ['Missing chainid parameter (required for v2 api)', 'ChainUnsupported', 'TerminalError'],
    ['Free API access is not supported for this chain.', 'ChainUnsupported', 'TerminalError'],
    ['Contract source code not verified', 'ContractNotVerified', 'TerminalError'],
    [`Something odd about ${API_KEY}`, 'UpstreamRefused', 'TerminalError'],
  ])('reads the refusal "%s"', async (sentence, code, family) => {
    const body = { status: '0', message: 'NOTOK', result: sentence };
    etherscan.fail(KNOWN.single, { failure: { kind: 'json', body } });
    expect(await failureOf(load({ address: KNOWN.single }, { order: ['etherscan'] }))).toMatchObject({
      code,
      name: family,
    });
  });

  it('waits for the next day when the day is used up', async () => {
    const body = { status: '0', message: 'NOTOK', result: 'Max daily rate limit reached' };
    etherscan.fail(KNOWN.single, { failure: { kind: 'json', body } });
    expect(await failureOf(load({ address: KNOWN.single }))).toMatchObject({ retryAfterMs: 3_600_000 });
  });
});

describe('contract-source when a provider fails', () => {
  it.each<[string, Failure, string]>([
    ['429', { kind: 'status', status: 429, retryAfter: '2' }, 'UpstreamRateLimited'],
    ['500', { kind: 'status', status: 500 }, 'UpstreamUnavailable'],
    ['503', { kind: 'status', status: 503, retryAfter: '30' }, 'UpstreamUnavailable'],
    ['a hang', { kind: 'hang' }, 'UpstreamTimeout'],
    ['a drip', { kind: 'drip' }, 'UpstreamTimeout'],
    ['a reset', { kind: 'reset' }, 'UpstreamUnreachable'],
    ['half a body', { kind: 'half-body' }, 'UpstreamUnreachable'],
    ['an HTML page', { kind: 'html' }, 'UpstreamInvalidAnswer'],
    ['broken JSON', { kind: 'broken-json' }, 'UpstreamInvalidAnswer'],
    ['JSON of another shape', { kind: 'json', body: [1] }, 'UpstreamInvalidAnswer'],
  ])('tries again after %s', async (_what, failure, code) => {
    for (const [provider, order] of [
      [etherscan, 'etherscan'],
      [sourcify, 'sourcify'],
    ] as const) {
      provider.fail(KNOWN.single, { failure });
      const error = await failureOf(load({ address: KNOWN.single }, { order: [order] }));
      expect(error).toBeInstanceOf(RetryableError);
      expect(error.code).toBe(code);
    }
  });

  it('does not turn to the other provider when one is only down', async () => {
    etherscan.fail(KNOWN.single, { failure: { kind: 'status', status: 502 }, times: 1 });
    expect(await failureOf(load({ address: KNOWN.single }))).toMatchObject({ code: 'UpstreamUnavailable' });
    expect((await load({ address: KNOWN.single })).result.source).toBe('etherscan');
  });

  it('reads no more than the limit', async () => {
    etherscan.fail(KNOWN.single, { failure: { kind: 'huge', bytes: 3_000_000 } });
    const error = await failureOf(load({ address: KNOWN.single }, { order: ['etherscan'] }));
    expect(error).toBeInstanceOf(TerminalError);
    expect(error.code).toBe('UpstreamTooLarge');
  });
});

describe('contract-source within its bounds', () => {
  it('goes back without a call when the budget is used up', async () => {
    const before = etherscan.calls.length;
    const error = await failureOf(load({ address: KNOWN.single }, {}, { budget: () => 60_000 }));
    expect(error).toBeInstanceOf(HandBackError);
    expect(etherscan.calls).toHaveLength(before);
  });

  it('stops when the job is cancelled', async () => {
    etherscan.fail(KNOWN.single, { failure: { kind: 'hang' } });
    const controller = new AbortController();
    const before = etherscan.calls.length;
    const run = load({ address: KNOWN.single }, { timeoutMs: 10_000 }, { signal: controller.signal });
    const stopped = expect(run).rejects.toThrow('Cancelled by its owner');
    await expect.poll(() => etherscan.calls.length).toBe(before + 1);
    controller.abort(new Error('Cancelled by its owner'));
    await stopped;
  });

  it('meets the refusal of a provider that is called too often', async () => {
    const strict = await startFakeEtherscan({ perSecond: 3 });
    try {
      const settings = { etherscan: { baseUrl: strict.url }, order: ['etherscan'] as const };
      const runs = await Promise.allSettled(
        Array.from({ length: 5 }, () => load({ address: KNOWN.single }, settings)),
      );
      expect(runs.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
      expect(strict.calls.filter(({ limited }) => limited)).toHaveLength(2);
    } finally {
      await strict.close();
    }
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
