import { TerminalError } from '../../core/errors.ts';
import { defineHandler, type HandlerContext, type Registration } from '../../core/handler.ts';
import { parsePrice } from '../../core/rates/decimal.ts';
import { createProviderCall } from './call.ts';
import type { ProviderCall, ProviderQuote, ProviderSettings, RateProvider } from './provider.ts';
import { loadProvider } from './provider-folder.ts';
import { createRound, type DuePair, type RoundItem } from './round.ts';
import { type ExchangeRateInput, type ExchangeRateResult, exchangeRateType } from './type.ts';

export interface ExchangeRateSettings {
  /** By the provider's name, in the place of what its file says. */
  providers?: Record<string, Partial<ProviderSettings>>;
  /** For one call. Defaults to 10,000. */
  timeoutMs?: number;
  /** The largest answer that is read. Defaults to 5 MiB. */
  maxAnswerBytes?: number;
  /** Where the files of providers are. Defaults to the shipped ones. */
  folder?: URL;
}

/** How many failures a result names. */
const MAX_SHOWN = 20;

/**
 * The handler of `exchange-rate`. Prices are kept batch by batch under the job's lease, so that a round which is broken off
 * asks for the rest only, and one that was carried out twice is kept once.
 */
export function createExchangeRateHandler(settings: ExchangeRateSettings = {}): Registration {
  return defineHandler(exchangeRateType, (context) => run(context, settings));
}

async function run(
  context: HandlerContext<ExchangeRateInput>,
  settings: ExchangeRateSettings,
): Promise<ExchangeRateResult> {
  const { provider: name } = context.input;
  const provider = await loadProvider(name, settings.folder);
  if (provider === null) throw new TerminalError('ProviderUnknown', `There is no provider "${name}"`);
  const round = createRound(context);
  const call = createProviderCall(context, {
    name,
    title: provider.title,
    settings: { ...provider.defaults, ...settings.providers?.[name] },
    timeoutMs: settings.timeoutMs ?? 10_000,
    maxBytes: settings.maxAnswerBytes ?? 5 * 1_024 * 1_024,
    onBan: (forMs) => round.ban(forMs),
  });
  const due = await round.take();
  const items: (RoundItem & DuePair)[] = [];
  for (const batch of batchesOf(due, provider)) {
    context.signal.throwIfAborted();
    const answers = await ask(provider, batch, call);
    await round.commit(answers);
    items.push(...answers);
    context.progress(items.length / due.length, 'Asking');
  }
  const failed = items.filter((item) => 'error' in item);
  return {
    provider: name,
    due: due.length,
    quoted: items.length - failed.length,
    failed: failed.length,
    failures: failed.slice(0, MAX_SHOWN).map(({ base, quote, error }) => ({ base, quote, code: error })),
  };
}

/** Pairs as one call asks for them. */
function batchesOf(due: readonly DuePair[], { batch }: RateProvider): DuePair[][] {
  const count = Math.ceil(due.length / batch);
  return Array.from({ length: count }, (_, index) => due.slice(index * batch, (index + 1) * batch));
}

/** What became of each pair, in their order. One without a name at the provider is not asked for. */
async function ask(
  provider: RateProvider,
  batch: readonly DuePair[],
  call: ProviderCall,
): Promise<(RoundItem & DuePair)[]> {
  const named = batch.flatMap((pair) => {
    const symbol = pair.symbol ?? provider.symbolOf(pair.base, pair.quote);
    return symbol === null ? [] : [{ ...pair, symbol }];
  });
  const quotes = named.length === 0 ? [] : await provider.fetch(named, call);
  const byId = new Map(named.map(({ id }, index) => [id, quotes[index] ?? { missing: true as const }]));
  return batch.map((pair) => ({ ...pair, ...judge(byId.get(pair.id)) }));
}

/** A price that is exact, above zero and of a sensible size, or why there is none; undefined was not asked for. */
function judge(quote: ProviderQuote | undefined): { price: string; ageMs: number } | { error: string } {
  if (quote === undefined) return { error: 'SymbolUnknown' };
  if ('missing' in quote) return { error: 'PairUnknown' };
  if (quote.price === null) return { error: 'PriceMissing' };
  const price = typeof quote.price === 'string' ? parsePrice(quote.price) : null;
  return price === null ? { error: 'PriceInvalid' } : { price, ageMs: Math.round(quote.ageMs) };
}
