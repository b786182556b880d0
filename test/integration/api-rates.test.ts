import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RoundItem } from '../../src/types/exchange-rate/round.ts';
import { NO_METRICS, startTestApi, type TestApi } from '../support/api.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';
import { claimRound, track } from '../support/rates.ts';
import { waitFor } from '../support/wait-for.ts';

let ledger: TestLedger;
let api: TestApi;

beforeAll(async () => {
  ledger = await createTestLedger(['exchange-rate']);
  api = await startTestApi(ledger);
});
afterAll(async () => {
  await api?.stop();
  await ledger?.close();
});
beforeEach(() => {
  round = 0;
});
afterEach(async () => {
  await ledger.db.query('delete from trade_info');
  // What the API knows of follows, so that no test meets the rates of another.
  await waitFor(async () => (await list()).rates.length === 0, { describe: 'the API to forget the rates' });
});

let round = 0;
type Said = { price: string; ageMs?: number } | { error: string };

/** A round of the provider that brings these; each of a test in a later slot. */
async function quote(provider: string, said: Record<string, Said>): Promise<void> {
  round += 1;
  const claimed = await claimRound(ledger, provider, { offsetSeconds: round * 86_400 });
  const pairs = await claimed.take();
  const items = pairs.flatMap(({ id, base, quote: other }): RoundItem[] => {
    const item = said[`${base}-${other}`];
    if (item === undefined) return [];
    return ['price' in item ? { id, ageMs: 0, ...item } : { id, ...item }];
  });
  await claimed.commit(items);
}

const get = async (path: string, init = {}) => {
  const response = await api.call(path, init);
  return { response, status: response.status, body: (await response.json()) as Record<string, never> & Rate };
};
interface Rate {
  price: string;
  at: string;
  ageSeconds: number;
  stale: boolean;
}
const list = async (query = '') => (await api.call(`/v1/rates${query}`)).json() as Promise<{ rates: Rate[] }>;
/** Asks until the rate is what the round brought: the API hears of it a moment later. */
const seen = (path: string, price: string) =>
  waitFor(
    () => get(path),
    ({ body }) => body.price === price,
    { describe: `${path} to be ${price}` },
  );

describe('GET /v1/rates/{pair}', () => {
  it('answers a quote to its last digit, with its time, in any spelling of the pair', async () => {
    await track(ledger, 'binance BTC-USDT');
    await quote('binance', { 'BTC-USDT': { price: '67187.335893656600000001' } });
    const { body, response } = await seen('/v1/rates/btc-usdt', '67187.335893656600000001');
    expect(body).toEqual({
      ...{ base: 'BTC', quote: 'USDT', price: '67187.335893656600000001', provider: 'binance', via: null },
      ...{ at: expect.any(String), ageSeconds: expect.any(Number), stale: false },
      legs: [expect.objectContaining({ provider: 'binance', base: 'BTC', quote: 'USDT', stale: false })],
    });
    expect(Math.abs(Date.parse(body.at) - Date.now())).toBeLessThan(5_000);
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
  });

  it('takes the best bid, one provider, the inverse, a common asset', async () => {
    await track(ledger, 'binance BTC-USDT');
    await track(ledger, 'coingecko BTC-USDT', { providerSymbol: 'bitcoin' });
    await track(ledger, 'coingecko BTC-UAH', { providerSymbol: 'bitcoin' });
    await quote('binance', { 'BTC-USDT': { price: '100' } });
    await quote('coingecko', { 'BTC-USDT': { price: '101' }, 'BTC-UAH': { price: '4040' } });
    await seen('/v1/rates/BTC-USDT', '101');
    expect((await get('/v1/rates/BTC-USDT?provider=binance')).body).toMatchObject({
      price: '100',
      provider: 'binance',
    });
    expect((await get('/v1/rates/USDT-BTC?provider=binance')).body).toMatchObject({ price: '0.01' });
    expect((await get('/v1/rates/USDT-UAH?provider=coingecko')).body).toMatchObject({
      price: '40',
      via: 'BTC',
    });
    const { body } = await get('/v1/rates?pairs=BTC-USDT,USDT-UAH,NO-SUCH');
    expect(body).toMatchObject({ rates: [{ price: '101' }, { via: 'BTC' }], unknown: ['NO-SUCH'] });
  });

  it('never shows a stale quote as fresh, also when nothing changes in the ledger', async () => {
    await track(ledger, 'binance BTC-USDT', { intervalSeconds: 1 });
    await quote('binance', { 'BTC-USDT': { price: '5', ageMs: 29_000 } });
    const fresh = await seen('/v1/rates/BTC-USDT', '5');
    expect(fresh.body.stale).toBe(false);
    const stale = await waitFor(
      () => get('/v1/rates/BTC-USDT'),
      ({ body }) => body.stale,
      { describe: 'the rate to be stale' },
    );
    expect(stale.body.ageSeconds).toBeGreaterThanOrEqual(30);
    expect(stale.response.headers.get('cache-control')).toBe('private, no-cache');
    expect(stale.response.headers.get('etag')).not.toBe(fresh.response.headers.get('etag'));
  });

  it('may be kept until the next round, and says so when nothing has changed', async () => {
    await track(ledger, 'binance BTC-USDT', { intervalSeconds: 60 });
    await quote('binance', { 'BTC-USDT': { price: '7', ageMs: 20_000 } });
    const { response } = await seen('/v1/rates/BTC-USDT', '7');
    const maxAge = Number(/^private, max-age=(\d+)$/.exec(response.headers.get('cache-control') ?? '')?.[1]);
    expect(maxAge).toBeGreaterThan(30);
    expect(maxAge).toBeLessThanOrEqual(40);
    const etag = response.headers.get('etag') ?? '';
    const again = await api.call('/v1/rates/BTC-USDT', { headers: { 'If-None-Match': etag } });
    expect([again.status, await again.text()]).toEqual([304, '']);
    await quote('binance', { 'BTC-USDT': { price: '8' } });
    await seen('/v1/rates/BTC-USDT', '8');
    const changed = await api.call('/v1/rates/BTC-USDT', { headers: { 'If-None-Match': etag } });
    expect(changed.status).toBe(200);
    const all = await api.call('/v1/rates');
    const allAgain = await api.call('/v1/rates', {
      headers: { 'If-None-Match': all.headers.get('etag') ?? '' },
    });
    expect([all.status, allAgain.status]).toEqual([200, 304]);
  });

  it.each([
    ['/v1/rates/BTCUSDT', 400, 'InvalidInput'],
    ['/v1/rates/BTC-BTC', 400, 'InvalidInput'],
    ['/v1/rates/BTC-%00', 400, 'InvalidInput'],
    [`/v1/rates/${'A'.repeat(21)}-B`, 400, 'InvalidInput'],
    ['/v1/rates/BTC-USDT-ETH', 400, 'InvalidInput'],
    ['/v1/rates/BTC-USDT?provider=nobody', 400, 'InvalidInput'],
    ['/v1/rates/BTC-USDT?provider=../../etc', 400, 'InvalidInput'],
    ['/v1/rates/BTC-USDT?what=1', 400, 'InvalidInput'],
    ['/v1/rates/BTC-USDT', 404, 'NotFound'],
    ['/v1/rates?pairs=', 400, 'InvalidInput'],
    [`/v1/rates?pairs=${Array(101).fill('A-B').join(',')}`, 400, 'InvalidInput'],
    ['/v1/rates?cursor=x', 400, 'InvalidCursor'],
    ['/v1/rates/BTC-USDT/history', 404, 'NotFound'],
    ['/v1/rates/BTC-USDT/history?step=2m', 400, 'InvalidInput'],
    ['/v1/rates/BTC-USDT/history?from=yesterday', 400, 'InvalidInput'],
    ['/v1/rates/BTC-USDT/history?from=2030-01-02T00:00:00Z&to=2030-01-01T00:00:00Z', 400, 'InvalidInput'],
    ['/v1/rates/BTC-USDT/history?limit=0', 400, 'InvalidInput'],
    ['/v1/rates/BTC-USDT/history?limit=5001', 400, 'InvalidInput'],
    ['/v1/rates/BTC-USDT/stream', 404, 'NotFound'],
  ])('of %s answers %i', async (path, status, code) => {
    const { body, ...answer } = await get(path);
    expect({ status: answer.status, code: body.code }).toEqual({ status, code });
  });

  it('says why a tracked pair has no rate', async () => {
    await track(ledger, 'binance NOPE-USDT');
    const waiting = await waitFor(
      () => get('/v1/rates/NOPE-USDT'),
      ({ body }) => /not asked for yet/.test(body.detail ?? ''),
    );
    expect(waiting.status).toBe(404);
    await quote('binance', { 'NOPE-USDT': { error: 'PairUnknown' } });
    const failed = await waitFor(
      () => get('/v1/rates/NOPE-USDT'),
      ({ body }) => /PairUnknown/.test(body.detail ?? ''),
    );
    expect(failed.body.detail).toBe('NOPE-USDT is tracked at binance, but has no rate: PairUnknown');
  });

  it('is its namespace’s alone, and needs the scope', async () => {
    await track(ledger, 'binance BTC-USDT');
    await quote('binance', { 'BTC-USDT': { price: '5' } });
    await seen('/v1/rates/BTC-USDT', '5');
    const stranger = await api.key('elsewhere');
    expect((await get('/v1/rates/BTC-USDT', { token: stranger })).status).toBe(404);
    const writer = await api.key('default', ['submit']);
    expect((await get('/v1/rates/BTC-USDT', { token: writer })).status).toBe(403);
    expect((await get('/v1/rates/BTC-USDT', { token: null })).status).toBe(401);
  });
});

describe('GET /v1/rates', () => {
  it('answers all pairs that have a rate, page by page', async () => {
    for (const base of ['A', 'B', 'C', 'D']) await track(ledger, `binance ${base}-USDT`);
    await quote('binance', {
      'A-USDT': { price: '1' },
      'B-USDT': { price: '2' },
      'C-USDT': { price: '3' },
    });
    await seen('/v1/rates/C-USDT', '3');
    const first = await get('/v1/rates?limit=2');
    expect(first.body).toMatchObject({ rates: [{ base: 'A' }, { base: 'B' }], unknown: [] });
    const second = await get(`/v1/rates?limit=2&cursor=${String(first.body.nextCursor)}`);
    expect(second.body).toMatchObject({ rates: [{ base: 'C' }], nextCursor: null });
  });
});

describe('GET /v1/rates/{pair}/history', () => {
  it('answers single prices and bars, continued where it was cut off', async () => {
    await track(ledger, 'binance BTC-USDT');
    const ages = [50_000, 40_000, 30_000, 20_000];
    for (const [n, ageMs] of ages.entries())
      await quote('binance', { 'BTC-USDT': { price: `${n + 1}`, ageMs } });
    const first = await get('/v1/rates/BTC-USDT/history?step=raw&limit=3&provider=binance');
    const points = first.body.points as unknown as { close: string; at: string }[];
    expect(points.map((point) => point.close)).toEqual(['1', '2', '3']);
    const rest = await get(`/v1/rates/BTC-USDT/history?step=raw&from=${String(first.body.nextFrom)}`);
    expect(rest.body).toMatchObject({ points: [{ close: '4' }], nextFrom: null, provider: 'binance' });
    const day = await get('/v1/rates/BTC-USDT/history?step=1d');
    const bars = day.body.points as unknown as { samples: number; high: string; low: string }[];
    expect(bars.reduce((sum, bar) => sum + bar.samples, 0)).toBe(4);
    expect(bars.at(-1)).toMatchObject({ high: '4' });
    expect(bars[0]).toMatchObject({ low: '1' });
    const before = await get('/v1/rates/BTC-USDT/history?to=2020-01-01T00:00:00%2B01:00');
    expect(before.body).toMatchObject({ points: [], to: '2019-12-31T23:00:00.000Z', step: '1m' });
  });
});

describe('GET /v1/rates/{pair}/stream', () => {
  it('tells the rate at once, each new one, and when it becomes stale', async () => {
    await track(ledger, 'binance BTC-USDT', { intervalSeconds: 1 });
    await quote('binance', { 'BTC-USDT': { price: '1' } });
    await seen('/v1/rates/BTC-USDT', '1');
    const abort = new AbortController();
    const response = await api.call('/v1/rates/BTC-USDT/stream', { signal: abort.signal });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const events: { price: string; stale: boolean }[] = [];
    const reading = read(response, events).catch(() => {});
    await waitFor(
      () => events.length,
      (length) => length === 1,
    );
    await quote('binance', { 'BTC-USDT': { price: '2', ageMs: 0 } });
    await waitFor(
      () => events.length,
      (length) => length === 2,
    );
    await quote('binance', { 'BTC-USDT': { error: 'PriceMissing' } });
    await ledger.db.query("update current_rates set at = at - interval '29 seconds'");
    await ledger.db.query(`select touch_rates(array['default'])`);
    await waitFor(
      () => events,
      (all) => all.some((event) => event.stale),
      { timeoutMs: 15_000, describe: 'the event of a stale rate' },
    );
    abort.abort();
    await reading;
    expect(events.map((event) => event.price).slice(0, 2)).toEqual(['1', '2']);
    expect(events.slice(0, 2).map((event) => event.stale)).toEqual([false, false]);
  });

  it('is refused to a key that has too many open', async () => {
    await track(ledger, 'binance BTC-USDT');
    const small = await startTestApi(ledger, { limits: { maxStreamsPerKey: 1 } });
    try {
      const first = await small.call('/v1/rates/BTC-USDT/stream');
      expect(first.status).toBe(200);
      expect((await small.call('/v1/rates/BTC-USDT/stream')).status).toBe(429);
      await first.body?.cancel();
      await waitFor(
        async () => {
          const again = await small.call('/v1/rates/BTC-USDT/stream');
          await again.body?.cancel();
          return again.status === 200;
        },
        { describe: 'a closed stream to be counted no more' },
      );
    } finally {
      await small.stop();
    }
  });
});

async function read(response: Response, events: { price: string; stale: boolean }[]): Promise<void> {
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString('utf8');
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = /^data: (.+)$/m.exec(block)?.[1];
      if (data !== undefined) events.push(JSON.parse(data));
    }
  }
}

describe('/v1/trade-info', () => {
  const put = (path: string, json: unknown, init = {}) => get(path, { method: 'PUT', json, ...init });

  it('makes, changes, lists and removes what is tracked', async () => {
    const made = await put('/v1/trade-info/binance/btc-usdt', { intervalSeconds: 10 });
    expect(made.status).toBe(201);
    expect(made.response.headers.get('location')).toBe('/v1/trade-info/binance/BTC-USDT');
    expect(made.body).toEqual({
      ...{ provider: 'binance', base: 'BTC', quote: 'USDT', providerSymbol: null, intervalSeconds: 10 },
      ...{ enabled: true, price: null, at: null, error: null, failures: 0 },
    });
    const changed = await put('/v1/trade-info/binance/BTC-USDT', { enabled: false });
    expect([changed.status, changed.body.intervalSeconds, changed.body.enabled]).toEqual([200, 60, false]);
    await put('/v1/trade-info/coingecko/BTC-USD', {});
    await put('/v1/trade-info/coingecko/ZZZ-USD', { providerSymbol: 'zzz-coin' });
    const page = await get('/v1/trade-info?limit=2');
    expect(page.body.tradeInfo).toMatchObject([{ provider: 'binance' }, { provider: 'coingecko' }]);
    const rest = await get(`/v1/trade-info?limit=2&cursor=${String(page.body.nextCursor)}`);
    expect(rest.body).toMatchObject({
      tradeInfo: [{ base: 'ZZZ', providerSymbol: 'zzz-coin' }],
      nextCursor: null,
    });
    expect((await api.call('/v1/trade-info/coingecko/ZZZ-USD', { method: 'DELETE' })).status).toBe(204);
    expect((await get('/v1/trade-info/coingecko/ZZZ-USD')).status).toBe(404);
    expect((await get('/v1/trade-info/coingecko/ZZZ-USD', { method: 'DELETE' })).status).toBe(404);
  });

  it.each([
    ['/v1/trade-info/binance/BTC-USDT', { intervalSeconds: 0 }, '/intervalSeconds'],
    ['/v1/trade-info/binance/BTC-USDT', { intervalSeconds: 1.5 }, '/intervalSeconds'],
    ['/v1/trade-info/binance/BTC-USDT', { intervalSeconds: 1e9 }, '/intervalSeconds'],
    ['/v1/trade-info/binance/BTC-USDT', { intervalSeconds: null }, '/intervalSeconds'],
    ['/v1/trade-info/binance/BTC-USDT', { providerSymbol: 'a b' }, '/providerSymbol'],
    ['/v1/trade-info/binance/BTC-USDT', { what: 1 }, '/what'],
    ['/v1/trade-info/nobody/BTC-USDT', {}, 'provider'],
    ['/v1/trade-info/binance/BTC', {}, 'pair'],
    ['/v1/trade-info/coingecko/ZZZ-USD', {}, '/providerSymbol'],
  ])('refuses %s %j, and leaves nothing', async (path, json, pointer) => {
    const { status, body } = await put(path, json);
    expect({ status, errors: body.errors }).toEqual({
      status: 400,
      errors: [{ pointer, detail: expect.any(String) }],
    });
    const { rows } = await ledger.db.query('select from trade_info');
    expect(rows).toHaveLength(0);
  });

  it('shows a row of a provider that has no file, and lets it be removed', async () => {
    await ledger.db.query(`insert into trade_info (provider, base, quote) values ('nobody', 'BTC', 'USDT')`);
    expect((await get('/v1/trade-info/nobody/BTC-USDT')).body).toMatchObject({ error: 'ProviderUnknown' });
    expect((await api.call('/v1/trade-info/nobody/BTC-USDT', { method: 'DELETE' })).status).toBe(204);
  });

  it('needs the scope "submit" to be changed', async () => {
    const token = await api.key('default', ['read']);
    expect((await put('/v1/trade-info/binance/BTC-USDT', {}, { token })).status).toBe(403);
    expect((await get('/v1/trade-info', { token })).status).toBe(200);
  });
});

describe('without Redis', () => {
  it('reads come from the ledger, and follow it', async () => {
    const lone = await startTestApi(ledger, { redisUrl: 'redis://127.0.0.1:1' });
    try {
      await track(ledger, 'binance BTC-USDT');
      await quote('binance', { 'BTC-USDT': { price: '41' } });
      const price = async () => ((await (await lone.call('/v1/rates/BTC-USDT')).json()) as Rate).price;
      await waitFor(price, (found) => found === '41');
      await quote('binance', { 'BTC-USDT': { price: '42' } });
      await waitFor(price, (found) => found === '42');
    } finally {
      await lone.stop();
    }
  });
});

it('several APIs follow each round, sharing a copy in Redis', async () => {
  const outcomes: string[] = [];
  const prefix = `trates${Date.now()}`;
  const observed = {
    ...NO_METRICS,
    countCacheRead: (outcome: string) => void outcomes.push(outcome),
  };
  const first = await startTestApi(ledger, { redisPrefix: prefix });
  const second = await startTestApi(ledger, { redisPrefix: prefix, metrics: observed });
  try {
    await track(ledger, 'binance BTC-USDT');
    await quote('binance', { 'BTC-USDT': { price: '1' } });
    const price = async (of: TestApi) => ((await (await of.call('/v1/rates/BTC-USDT')).json()) as Rate).price;
    await waitFor(
      () => price(first),
      (found) => found === '1',
    );
    // The first has put its copy there; the second takes it, because the ledger says that nothing is newer.
    await waitFor(
      async () => {
        outcomes.length = 0;
        return (await price(second)) === '1';
      },
      { describe: 'the second API to know the rate' },
    );
    for (let n = 2; n < 8; n += 1) {
      await quote('binance', { 'BTC-USDT': { price: `${n}` } });
      await Promise.all(
        [first, second].map((of) =>
          waitFor(
            () => price(of),
            (found) => found === `${n}`,
          ),
        ),
      );
    }
    expect(outcomes).toContain('hit');
  } finally {
    await Promise.all([first.stop(), second.stop()]);
  }
});
