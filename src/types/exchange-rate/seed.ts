/** A pair to begin with. */
export interface SeedPair {
  provider: string;
  base: string;
  quote: string;
  providerSymbol: string | null;
  intervalSeconds: number;
}

const COINS = ['BTC', 'ETH', 'BNB', 'SOL', 'XRP', 'ADA', 'DOGE', 'TRX', 'LTC'];
const CURRENCIES = ['USD', 'EUR', 'GBP', 'UAH', 'PLN'];

/**
 * What a fresh table is filled with: the usual coins at Binance every 10 s, and at CoinGecko, within its monthly sum, every 5 min
 * what national currencies are converted through.
 */
export const SEED_PAIRS: readonly SeedPair[] = [
  ...COINS.map((base) => ({ provider: 'binance', base, quote: 'USDT' })),
  { provider: 'binance', base: 'USDC', quote: 'USDT' },
  { provider: 'binance', base: 'EUR', quote: 'USDT' },
  { provider: 'binance', base: 'ETH', quote: 'BTC' },
]
  .map((pair): SeedPair => ({ ...pair, providerSymbol: null, intervalSeconds: 10 }))
  .concat(
    ['BTC', 'ETH', 'USDT'].flatMap((base) =>
      CURRENCIES.map((quote) => ({
        ...{ provider: 'coingecko', base, quote, providerSymbol: null, intervalSeconds: 300 },
      })),
    ),
  );
