import { z } from 'zod';
import { TerminalError } from '../../../core/errors.ts';
import { invalidAnswer } from '../../upstream.ts';
import type { ProviderPair, ProviderQuote, ProviderResponse, RateProvider } from '../provider.ts';

/** Coin → currency or `last_updated_at` → text of the number. */
const prices = z.record(z.string(), z.record(z.string(), z.unknown()));

/** CoinGecko's names of the coins that are asked for most; the others need theirs in the row. */
const COINS: Readonly<Record<string, string>> = {
  ADA: 'cardano',
  BNB: 'binancecoin',
  BTC: 'bitcoin',
  DOGE: 'dogecoin',
  ETH: 'ethereum',
  LTC: 'litecoin',
  SOL: 'solana',
  TRX: 'tron',
  USDC: 'usd-coin',
  USDT: 'tether',
  XRP: 'ripple',
};

/** CoinGecko: prices averaged over markets, some minutes old; 30 calls a minute and 10,000 a month without a paid plan. */
export const provider: RateProvider = {
  title: 'CoinGecko',
  defaults: {
    baseUrl: 'https://api.coingecko.com/api/v3',
    apiKey: '',
    limits: { perMinute: 30, perMonth: 10_000 },
  },
  batch: 250,
  symbolOf: (base) => COINS[base] ?? null,
  async fetch(pairs, call) {
    const { apiKey } = call.settings;
    const answer = await call.get({
      path: '/simple/price',
      query: {
        ids: listOf(pairs.map((pair) => pair.symbol)),
        vs_currencies: listOf(pairs.map((pair) => pair.quote)),
        include_last_updated_at: 'true',
        precision: 'full',
      },
      headers: apiKey === '' ? {} : { 'x-cg-demo-api-key': apiKey },
    });
    if (answer.status === 401 || answer.status === 403) {
      throw new TerminalError('ProviderKeyInvalid', 'CoinGecko refused its API key, or wants one');
    }
    if (answer.status >= 400) {
      throw new TerminalError('UpstreamRefused', `CoinGecko refused the call with status ${answer.status}`);
    }
    return toQuotes(pairs, answer);
  },
};

function listOf(names: readonly string[]): string {
  return [...new Set(names.map((name) => name.toLowerCase()))].toSorted().join(',');
}

function toQuotes(pairs: readonly ProviderPair[], answer: ProviderResponse): ProviderQuote[] {
  const parsed = prices.safeParse(answer.json);
  if (!parsed.success) throw invalidAnswer('CoinGecko', 'a JSON answer of unknown shape');
  return pairs.map(({ symbol, quote }) => {
    const coin = parsed.data[symbol.toLowerCase()];
    const price = coin?.[quote.toLowerCase()];
    if (coin === undefined || price === undefined) return { missing: true };
    const updatedAtMs = Number(coin.last_updated_at) * 1_000;
    const ageMs = Number.isFinite(updatedAtMs) && updatedAtMs > 0 ? answer.answeredAtMs - updatedAtMs : 0;
    return { price, ageMs: Math.max(0, ageMs) + answer.cachedMs };
  });
}
