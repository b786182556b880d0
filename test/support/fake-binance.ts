import { parseArgs } from 'node:util';
import { type FakeRateProvider, type RateLimitOptions, startFakeRateProvider } from './fake-rate-provider.ts';

export interface FakeBinance extends FakeRateProvider {
  /** By symbol. A value is the text of `price`; null is JSON's null. What is not here is not traded. */
  prices: Map<string, string | null>;
}

/** Calls in a row above the limit until the address is banned. */
const PATIENCE = 3;
const BAN_SECONDS = 120;

/**
 * Binance's `GET /api/v3/ticker/price` in its true shapes: weights in a header, 429 above the limit and 418 for those that go on,
 * one unknown symbol refuses the whole call.
 */
export async function startFakeBinance(
  options: RateLimitOptions & { prices?: Record<string, string | null> } = {},
): Promise<FakeBinance> {
  const prices = new Map(Object.entries(options.prices ?? {}));
  let bannedUntilMs = 0;
  const provider = await startFakeRateProvider(options, {
    path: '/api/v3/ticker/price',
    weigh: (query) => (query.symbol === undefined ? 4 : 2),
    answer(query, { nowMs, used, over }) {
      const headers = { 'x-mbx-used-weight-1m': String(used) };
      if (over > PATIENCE) bannedUntilMs = Math.max(bannedUntilMs, nowMs + BAN_SECONDS * 1_000);
      if (bannedUntilMs > nowMs) {
        const seconds = Math.ceil((bannedUntilMs - nowMs) / 1_000);
        const text = refuse(
          -1003,
          `Way too much request weight used; IP banned until ${bannedUntilMs}. Please use WebSocket Streams for live updates to avoid bans.`,
        );
        return { status: 418, text, headers: { ...headers, 'retry-after': String(seconds) } };
      }
      if (over > 0) {
        const text = refuse(-1003, 'Too much request weight used; current limit is exceeded.');
        return { status: 429, text, headers: { ...headers, 'retry-after': '1' } };
      }
      return { ...answer(query, prices), headers };
    },
  });
  return Object.assign(provider, { prices });
}

function answer(
  query: Record<string, string>,
  prices: Map<string, string | null>,
): { status: number; text: string } {
  if (query.symbols === undefined) return { status: 200, text: list([...prices.keys()], prices) };
  if (!/^\["[A-Z0-9-_.]{1,50}"(,"[A-Z0-9-_.]{1,50}")*\]$/.test(query.symbols)) {
    return {
      status: 400,
      text: refuse(
        -1100,
        'Illegal characters found in parameter \'symbols\'; legal range is \'^\\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\\]$\'.',
      ),
    };
  }
  const symbols = JSON.parse(query.symbols) as string[];
  if (symbols.some((symbol) => !prices.has(symbol)))
    return { status: 400, text: refuse(-1121, 'Invalid symbol.') };
  return { status: 200, text: list(symbols, prices) };
}

function list(symbols: readonly string[], prices: Map<string, string | null>): string {
  return JSON.stringify(symbols.map((symbol) => ({ symbol, price: prices.get(symbol) ?? null })));
}

function refuse(code: number, msg: string): string {
  return JSON.stringify({ code, msg });
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { pairs: { type: 'string', default: '250' } } });
  const binance = await startFakeBinance();
  for (let n = 0; n < Number(values.pairs); n += 1) binance.prices.set(`C${n}USDT`, `${n + 1}.12340000`);
  setInterval(() => {
    for (const [symbol, price] of binance.prices)
      binance.prices.set(symbol, (Number(price) * (1 + (Math.random() - 0.5) / 1_000)).toFixed(8));
  }, 1_000);
  process.stdout.write(`${binance.url}\n`);
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit());
}
