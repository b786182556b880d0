import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FakeBinance, startFakeBinance } from '../../../test/support/fake-binance.ts';
import { type FakeCoinGecko, startFakeCoinGecko } from '../../../test/support/fake-coingecko.ts';
import type { Failure } from '../../../test/support/fake-provider.ts';
import { runHandler, type TestContextOptions } from '../../../test/support/handler-context.ts';
import { listProviders, loadProvider } from './provider-folder.ts';
import type { DuePair, RoundItem } from './round.ts';
import { createExchangeRateHandler, type ExchangeRateSettings } from './run.ts';
import type { ExchangeRateResult } from './type.ts';

let binance: FakeBinance;
let coingecko: FakeCoinGecko;

beforeEach(async () => {
  binance = await startFakeBinance({ prices: { BTCUSDT: '67000.01000000', ETHUSDT: '3000.5' } });
  coingecko = await startFakeCoinGecko({
    coins: { bitcoin: { prices: { usd: '67187.3358936566', uah: '2.7e6' } }, dead: { prices: {} } },
  });
});
afterEach(() => Promise.all([binance.close(), coingecko.close()]));

type Kept = { pair: string; price?: string; ageMs?: number; error?: string };

/** Runs one round for these pairs, `BTC-USDT` or `BTC-USD=bitcoin`; the rounds of the ledger are tested with it. */
async function round(
  provider: string,
  pairs: string[],
  options: TestContextOptions & { settings?: ExchangeRateSettings } = {},
) {
  const kept: Kept[] = [];
  const bans: number[] = [];
  const due = pairs.map((text, id) => {
    const [pair = '', symbol = null] = text.split('=');
    const [base = '', quote = ''] = pair.split('-');
    return { id, base, quote, symbol };
  });
  const procedure = ledgerWith(due, {
    commit: (items) =>
      kept.push(...items.map(({ id, ...item }) => ({ pair: pairs[id] ?? '', ...pick(item) }))),
    ban: (forMs) => bans.push(forMs),
  });
  const settings = {
    timeoutMs: 400,
    maxAnswerBytes: 100_000,
    ...options.settings,
    providers: { binance: { baseUrl: binance.url }, coingecko: { baseUrl: coingecko.url } },
  };
  const handler = createExchangeRateHandler(settings);
  const run = runHandler<ExchangeRateResult>(handler, { provider }, { procedure, ...options });
  return { run, kept, bans };
}

/** Stands for the functions of the ledger that a round calls. */
function ledgerWith(
  due: DuePair[],
  told: { commit(items: RoundItem[]): void; ban(forMs: number): void },
): NonNullable<TestContextOptions['procedure']> {
  return (name, payload) => {
    if (name === 'take_round') return due;
    if (name === 'ban_round_provider') return told.ban(payload as number);
    if (name !== 'commit_round') throw new Error(`A round does not call ${name}`);
    told.commit(payload as RoundItem[]);
    return (payload as RoundItem[]).length;
  };
}

function pick({
  price,
  ageMs,
  error,
}: {
  price?: string;
  ageMs?: number;
  error?: string;
}): Omit<Kept, 'pair'> {
  return error === undefined ? { price: price ?? '', ageMs: ageMs ?? 0 } : { error };
}

const failureOf = (run: Promise<unknown>) =>
  run.then(
    () => ({ code: 'none' }),
    (error: Error & { code?: string; retryAfterMs?: number }) => error,
  );

describe('Binance', () => {
  it('is asked for many symbols at once, by its weight', async () => {
    const { run, kept } = await round('binance', ['BTC-USDT', 'ETH-USDT']);
    const { result, budgets } = await run;
    expect(result).toEqual({ provider: 'binance', due: 2, quoted: 2, failed: 0, failures: [] });
    expect(kept).toEqual([
      { pair: 'BTC-USDT', price: '67000.01', ageMs: 0 },
      { pair: 'ETH-USDT', price: '3000.5', ageMs: 0 },
    ]);
    expect(binance.calls.map((call) => call.query)).toEqual([{ symbols: '["BTCUSDT","ETHUSDT"]' }]);
    expect(budgets).toEqual([{ name: 'binance', perSecond: 100, perDay: 0, perMonth: 0, weight: 4 }]);
  });

  it('is asked in batches, each kept when it has come', async () => {
    const pairs = Array.from({ length: 250 }, (_, n) => `C${n}-USDT`);
    for (let n = 0; n < 250; n += 1) binance.prices.set(`C${n}USDT`, '1');
    const { run, kept } = await round('binance', pairs);
    expect((await run).result.quoted).toBe(250);
    expect(binance.calls).toHaveLength(3);
    expect(kept).toHaveLength(250);
  });

  it('refuses a whole call for one symbol that is not traded any more: the others are found all the same', async () => {
    const { run, kept } = await round('binance', ['BTC-USDT', 'LUNA-USDT', 'ETH-USDT']);
    const { result } = await run;
    expect(result).toMatchObject({ quoted: 2, failed: 1 });
    expect(result.failures).toEqual([{ base: 'LUNA', quote: 'USDT', code: 'PairUnknown' }]);
    expect(kept.map(({ price, error }) => price ?? error)).toEqual(['67000.01', 'PairUnknown', '3000.5']);
    expect(binance.calls).toHaveLength(2);
  });

  it.each([
    [null, 'PriceMissing'],
    ['NaN', 'PriceInvalid'],
    ['1e999', 'PriceInvalid'],
    ['-1', 'PriceInvalid'],
    ['0.00000000', 'PriceInvalid'],
    ['', 'PriceInvalid'],
  ])('with a price of %j spoils that pair alone', async (price, code) => {
    binance.prices.set('BTCUSDT', price);
    const { run, kept } = await round('binance', ['BTC-USDT', 'ETH-USDT']);
    expect((await run).result).toMatchObject({ quoted: 1, failures: [{ base: 'BTC', code }] });
    expect(kept).toContainEqual({ pair: 'ETH-USDT', price: '3000.5', ageMs: 0 });
  });
});

describe('the limit of Binance', () => {
  it('pauses all workers for as long as it says, and a ban keeps them from it alone', async () => {
    await binance.close();
    binance = await startFakeBinance({ prices: { BTCUSDT: '1' }, perWindow: 4 });
    const pauses: { name: string; forMs: number }[] = [];
    const one = async () => {
      const { run, bans } = await round('binance', ['BTC-USDT'], { pauses });
      return { error: await failureOf(run), bans };
    };
    expect((await one()).error.code).toBe('none');
    const limited = await one();
    expect(limited).toMatchObject({ error: { code: 'UpstreamRateLimited', retryAfterMs: 1_000 }, bans: [] });
    expect(pauses).toEqual([{ name: 'binance', forMs: 1_000 }]);
    await one();
    await one();
    const banned = await one();
    expect(banned.error).toMatchObject({ code: 'UpstreamBanned', retryAfterMs: 120_000 });
    expect(banned.bans).toEqual([120_000]);
  });

  it('lets it alone until the minute is over when others behind our address have nearly spent it', async () => {
    const settings = { providers: { binance: { limits: { perMinute: 4, perMonth: 0 } } } };
    const pauses: { name: string; forMs: number }[] = [];
    const handler = createExchangeRateHandler({
      providers: { binance: { baseUrl: binance.url, ...settings.providers.binance } },
    });
    const due = [{ id: 1, base: 'BTC', quote: 'USDT', symbol: null }];
    const procedure = ledgerWith(due, { commit: () => {}, ban: () => {} });
    await runHandler(handler, { provider: 'binance' }, { pauses, procedure });
    expect(pauses).toHaveLength(1);
    expect(pauses[0]?.forMs).toBeGreaterThan(0);
    expect(pauses[0]?.forMs).toBeLessThanOrEqual(60_000);
  });
});

describe('CoinGecko', () => {
  it('is asked once for coins and currencies, and its numbers are kept to the last digit', async () => {
    const { run, kept } = await round('coingecko', ['BTC-USD', 'BTC-UAH=bitcoin']);
    const { result, budgets } = await run;
    expect(result).toMatchObject({ quoted: 2, failed: 0 });
    expect(kept.map(({ price }) => price)).toEqual(['67187.3358936566', '2700000']);
    expect(coingecko.calls.map((call) => call.query)).toEqual([
      {
        ...{ ids: 'bitcoin', vs_currencies: 'uah,usd' },
        ...{ include_last_updated_at: 'true', precision: 'full' },
      },
    ]);
    expect(budgets).toEqual([{ name: 'coingecko', perSecond: 0.5, perDay: 0, perMonth: 10_000, weight: 1 }]);
  });

  it('says how old a price is, by its own clock: ours may be an hour wrong', async () => {
    coingecko.coins.set('bitcoin', { prices: { usd: '1' }, ageSeconds: 90 });
    for (const skewMs of [0, 3_600_000, -3_600_000]) {
      coingecko.skewMs = skewMs;
      const { run, kept } = await round('coingecko', ['BTC-USD']);
      await run;
      expect(kept[0]?.ageMs, `skew ${skewMs}`).toBe(90_000);
    }
    coingecko.coins.set('bitcoin', { prices: { usd: '1' }, ageSeconds: -600 });
    const { run, kept } = await round('coingecko', ['BTC-USD']);
    await run;
    expect(kept[0]?.ageMs).toBe(0);
  });

  it('leaves out what it does not know, has nulls, and wants its own names', async () => {
    coingecko.coins.set('nil', { prices: { usd: 'null' } });
    coingecko.coins.set('huge', { prices: { usd: '1e999' } });
    coingecko.coins.set('odd', { prices: { usd: '{"a":1}' } });
    const pairs = [
      'BTC-USD',
      'X-USD=gone',
      'BTC-XXX',
      'N-USD=nil',
      'H-USD=huge',
      'O-USD=odd',
      'NAMELESS-USD',
    ];
    const { run, kept } = await round('coingecko', pairs);
    expect((await run).result).toMatchObject({ due: 7, quoted: 1, failed: 6 });
    expect(kept.map(({ price, error }) => price ?? error)).toEqual([
      ...['67187.3358936566', 'PairUnknown', 'PairUnknown', 'PriceMissing', 'PriceInvalid', 'PriceInvalid'],
      'SymbolUnknown',
    ]);
    expect(coingecko.calls).toHaveLength(1);
  });

  it('is not asked for pairs that have no name there', async () => {
    const { run } = await round('coingecko', ['NAMELESS-USD']);
    expect((await run).result).toMatchObject({ failed: 1 });
    expect(coingecko.calls).toHaveLength(0);
  });
});

describe('an answer that is none', () => {
  const FAILURES: [string, Failure, string][] = [
    ['an HTML page', { kind: 'html' }, 'UpstreamInvalidAnswer'],
    ['half a body', { kind: 'half-body' }, 'UpstreamUnreachable'],
    ['half of the JSON', { kind: 'broken-json' }, 'UpstreamInvalidAnswer'],
    ['no answer', { kind: 'hang' }, 'UpstreamTimeout'],
    ['an answer by drops', { kind: 'drip' }, 'UpstreamTimeout'],
    ['a reset', { kind: 'reset' }, 'UpstreamUnreachable'],
    ['500', { kind: 'status', status: 500 }, 'UpstreamUnavailable'],
    ['503 with Retry-After', { kind: 'status', status: 503, retryAfter: '7' }, 'UpstreamUnavailable'],
    ['a redirect', { kind: 'status', status: 302 }, 'UpstreamInvalidAnswer'],
    ['403 of a firewall', { kind: 'status', status: 403 }, 'UpstreamRefused'],
    ['another shape', { kind: 'json', body: 'what?' }, 'UpstreamInvalidAnswer'],
    ['null', { kind: 'json', body: null }, 'UpstreamInvalidAnswer'],
    ['too much', { kind: 'huge', bytes: 200_000 }, 'UpstreamTooLarge'],
  ];

  it.each(FAILURES)('(%s) of Binance keeps nothing', async (_, failure, code) => {
    binance.fail(failure);
    const { run, kept } = await round('binance', ['BTC-USDT']);
    expect((await failureOf(run)).code).toBe(code);
    expect(kept).toEqual([]);
  });

  it.each(FAILURES.filter(([, , code]) => code !== 'UpstreamRefused'))(
    '(%s) of CoinGecko keeps nothing',
    async (_, failure, code) => {
      coingecko.fail(failure);
      const { run, kept } = await round('coingecko', ['BTC-USD']);
      expect((await failureOf(run)).code).toBe(code);
      expect(kept).toEqual([]);
    },
  );

  it('after a batch that came leaves that one kept', async () => {
    const pairs = Array.from({ length: 150 }, (_, n) => `C${n}-USDT`);
    for (let n = 0; n < 150; n += 1) binance.prices.set(`C${n}USDT`, '1');
    const { run, kept } = await round('binance', pairs, {
      budget: () => {
        if (binance.calls.length === 1) binance.fail({ kind: 'html' });
        return undefined;
      },
    });
    expect((await failureOf(run)).code).toBe('UpstreamInvalidAnswer');
    expect(kept).toHaveLength(100);
  });
});

describe('the folder of providers', () => {
  it('has those that ship, and no other is loaded', async () => {
    expect(listProviders()).toEqual(['binance', 'coingecko']);
    for (const name of ['nobody', '../run', 'binance.ts', '', 'constructor'])
      expect(await loadProvider(name)).toBeNull();
  });

  it('takes a new provider as one file, found by its name', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'longshore-providers-'));
    try {
      writeFileSync(
        join(folder, 'dockside.ts'),
        `export const provider = { title: 'Dockside', batch: 10, symbolOf: (base) => base,
          defaults: { baseUrl: 'http://127.0.0.1:1', apiKey: '', limits: { perMinute: 0, perMonth: 0 } },
          fetch: async (pairs) => pairs.map(() => ({ price: '4.20', ageMs: 0 })) };\n`,
      );
      writeFileSync(join(folder, 'Not a name.ts'), '');
      const url = pathToFileURL(`${folder}/`);
      expect(listProviders(url)).toEqual(['dockside']);
      expect((await loadProvider('dockside', url))?.title).toBe('Dockside');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
