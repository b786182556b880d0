import { z } from 'zod';
import { TerminalError } from '../../../core/errors.ts';
import { invalidAnswer } from '../../upstream.ts';
import type {
  ProviderCall,
  ProviderPair,
  ProviderQuote,
  ProviderResponse,
  RateProvider,
} from '../provider.ts';

const tickers = z.array(z.object({ symbol: z.string(), price: z.unknown() }));
const refusal = z.object({ code: z.string(), msg: z.string() });

const PATH = '/api/v3/ticker/price';
/** What several symbols weigh, and all of them. */
const WEIGHT = 4;
const INVALID_SYMBOL = '-1121';
/** At this share of the minute's weight, as Binance counts it over everybody behind our address, all workers pause. */
const NEARLY_SPENT = 0.9;

/**
 * Binance, spot: the last price of each symbol. It counts weights for each address and minute, answers 429 above its limit,
 * and bans addresses that go on all the same (418).
 */
export const provider: RateProvider = {
  title: 'Binance',
  defaults: {
    baseUrl: 'https://api.binance.com',
    apiKey: '',
    limits: { perMinute: 6_000, perMonth: 0 },
  },
  batch: 100,
  symbolOf: (base, quote) => `${base}${quote}`,
  async fetch(pairs, call) {
    const symbols = JSON.stringify([...new Set(pairs.map((pair) => pair.symbol.toUpperCase()))]);
    const answer = await get(call, { symbols });
    if (answer.status < 400) return toQuotes(pairs, answer);
    const refused = refusal.safeParse(answer.json).data;
    if (refused?.code !== INVALID_SYMBOL) {
      throw new TerminalError('UpstreamRefused', `Binance refused the call with status ${answer.status}`);
    }
    // One symbol that is not traded any more spoils the whole call, and it is not said which: the list of all of them tells.
    return toQuotes(pairs, await get(call, {}));
  },
};

async function get(call: ProviderCall, query: Record<string, string>): Promise<ProviderResponse> {
  const answer = await call.get({ path: PATH, query, weight: WEIGHT });
  const used = Number(answer.headers['x-mbx-used-weight-1m']);
  const { perMinute } = call.settings.limits;
  if (perMinute > 0 && used >= perMinute * NEARLY_SPENT) {
    await call.pause(60_000 - (answer.answeredAtMs % 60_000));
  }
  return answer;
}

function toQuotes(pairs: readonly ProviderPair[], answer: ProviderResponse): ProviderQuote[] {
  const parsed = tickers.safeParse(answer.json);
  if (!parsed.success) throw invalidAnswer('Binance', 'a JSON answer of unknown shape');
  const prices = new Map(parsed.data.map(({ symbol, price }) => [symbol, price]));
  return pairs.map(({ symbol }) => {
    const price = prices.get(symbol.toUpperCase());
    return price === undefined ? { missing: true } : { price, ageMs: answer.cachedMs };
  });
}
