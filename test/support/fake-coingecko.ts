import { parseArgs } from 'node:util';
import { type FakeRateProvider, type RateLimitOptions, startFakeRateProvider } from './fake-rate-provider.ts';

export interface FakeCoin {
  /** By currency in lower case; the text of a JSON value, such as `67187.3358936566` or `null`. */
  prices: Record<string, string>;
  /** How old the prices are. Defaults to 0. */
  ageSeconds?: number;
}

export interface FakeCoinGecko extends FakeRateProvider {
  /** By CoinGecko's id. */
  coins: Map<string, FakeCoin>;
}

export interface FakeCoinGeckoOptions extends RateLimitOptions {
  coins?: Record<string, FakeCoin>;
}

/** CoinGecko's `GET /simple/price` in its true shapes: numbers of full precision, coins that it does not know are left out. */
export async function startFakeCoinGecko(options: FakeCoinGeckoOptions = {}): Promise<FakeCoinGecko> {
  const coins = new Map(Object.entries(options.coins ?? {}));
  const provider = await startFakeRateProvider(options, {
    path: '/simple/price',
    weigh: () => 1,
    answer(query, { nowMs, over }) {
      if (over > 0) {
        const error_message =
          "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing to subscribe to our API plans for higher rate limits.";
        const text = JSON.stringify({ status: { error_code: 429, error_message } });
        return { status: 429, text, headers: { 'retry-after': '60' } };
      }
      if (!query.vs_currencies) return { status: 422, text: '{"error":"Missing parameter vs_currencies"}' };
      return { status: 200, text: answer(query, coins, nowMs) };
    },
  });
  return Object.assign(provider, { coins });
}

function answer(query: Record<string, string>, coins: Map<string, FakeCoin>, nowMs: number): string {
  const currencies = (query.vs_currencies ?? '').split(',');
  const parts = (query.ids ?? '').split(',').flatMap((id) => {
    const coin = coins.get(id);
    if (coin === undefined) return [];
    const fields = currencies.flatMap((currency) => {
      const price = coin.prices[currency];
      return price === undefined ? [] : [`${JSON.stringify(currency)}:${price}`];
    });
    const updatedAt = Math.floor(nowMs / 1_000) - (coin.ageSeconds ?? 0);
    if (query.include_last_updated_at === 'true') fields.push(`"last_updated_at":${updatedAt}`);
    return [`${JSON.stringify(id)}:{${fields.join(',')}}`];
  });
  return `{${parts.join(',')}}`;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { pairs: { type: 'string', default: '250' } } });
  const coingecko = await startFakeCoinGecko({ perWindow: 30 });
  for (let n = 0; n < Number(values.pairs); n += 1)
    coingecko.coins.set(`coin-${n}`, { prices: { usd: `${n + 1}.1234567890123` } });
  setInterval(() => {
    for (const coin of coingecko.coins.values())
      coin.prices.usd = (Number(coin.prices.usd) * (1 + (Math.random() - 0.5) / 1_000)).toFixed(13);
  }, 1_000);
  process.stdout.write(`${coingecko.url}\n`);
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit());
}
