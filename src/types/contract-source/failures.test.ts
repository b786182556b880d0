import { describe, expect, it } from 'vitest';
import {
  API_KEY,
  etherscan,
  failureOf,
  load,
  sourcify,
  useFakeProviders,
} from '../../../test/support/contract-source.ts';
import { KNOWN } from '../../../test/support/fake-contracts.ts';
import { startFakeEtherscan } from '../../../test/support/fake-etherscan.ts';
import type { Failure } from '../../../test/support/fake-provider.ts';
import { HandBackError, RetryableError, TerminalError } from '../../core/errors.ts';

useFakeProviders();

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

  it('has every worker pause as long as it says', async () => {
    const pauses: { name: string; forMs: number }[] = [];
    const settings = { order: ['etherscan'] as const };
    etherscan.fail(KNOWN.single, { failure: { kind: 'status', status: 429, retryAfter: '120' } });
    await failureOf(load({ address: KNOWN.single }, settings, { pauses }));
    const body = { status: '0', message: 'NOTOK', result: 'Max daily rate limit reached' };
    etherscan.fail(KNOWN.single, { failure: { kind: 'json', body } });
    await failureOf(load({ address: KNOWN.single }, settings, { pauses }));
    etherscan.fail(KNOWN.single, { failure: { kind: 'status', status: 429 } });
    await failureOf(load({ address: KNOWN.single }, settings, { pauses }));
    expect(pauses).toEqual([
      { name: 'etherscan', forMs: 120_000 },
      { name: 'etherscan', forMs: 3_600_000 },
    ]);
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
