import { TerminalError } from '../../core/errors.ts';
import { defineHandler, type HandlerContext, type Registration } from '../../core/handler.ts';
import { parsePrice } from '../../core/rates/decimal.ts';
import { createProviderCall } from './call.ts';
import type { ProviderQuote, ProviderSettings, RateProvider } from './provider.ts';
import { loadProvider } from './provider-folder.ts';
import { type ExchangeRateInput, type ExchangeRateResult, exchangeRateType } from './type.ts';

/** The delivery of a round: what is written under it is refused once its lease is not current any more. */
type RoundJob = Pick<HandlerContext['job'], 'id' | 'lease'>;

interface DuePair {
  id: number;
  base: string;
  quote: string;
  symbol: string | null;
}

type RoundItem = { id: number; price: string; ageMs: number } | { id: number; error: string };

/** Where rounds come from and go to; the ledger implements it. */
export interface Rounds {
  take(job: RoundJob): Promise<DuePair[]>;
  /** Keeps each pair once a round. */
  commit(job: RoundJob, items: readonly RoundItem[]): Promise<number>;
  /** The provider has banned our address. */
  ban(job: RoundJob, forMs: number): Promise<void>;
}

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
export function createExchangeRateHandler(rounds: Rounds, settings: ExchangeRateSettings = {}): Registration {
  return defineHandler(exchangeRateType, (context) => run(context, rounds, settings));
}

async function run(
  context: HandlerContext<ExchangeRateInput>,
  rounds: Rounds,
  settings: ExchangeRateSettings,
): Promise<ExchangeRateResult> {
  const { provider: name } = context.input;
  const provider = await loadProvider(name, settings.folder);
  if (provider === null) throw new TerminalError('ProviderUnknown', `There is no provider "${name}"`);
  const call = createProviderCall(context, {
    name,
    title: provider.title,
    settings: { ...provider.defaults, ...settings.providers?.[name] },
    timeoutMs: settings.timeoutMs ?? 10_000,
    maxBytes: settings.maxAnswerBytes ?? 5 * 1_024 * 1_024,
    onBan: (forMs) => rounds.ban(context.job, forMs),
  });
  const due = await rounds.take(context.job);
  const items: (RoundItem & DuePair)[] = [];
  for (const batch of batchesOf(due, provider)) {
    context.signal.throwIfAborted();
    const answers = await ask(provider, batch, call);
    await rounds.commit(context.job, answers);
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

type Named = Omit<DuePair, 'symbol'> & { symbol: string };

/** Pairs as one call asks for them. A pair without a name at the provider comes in the first, and is not asked for. */
function batchesOf(due: readonly DuePair[], provider: RateProvider): DuePair[][] {
  const batches: DuePair[][] = [];
  for (let from = 0; from < due.length; from += provider.batch) {
    batches.push(due.slice(from, from + provider.batch));
  }
  return batches;
}

async function ask(
  provider: RateProvider,
  batch: readonly DuePair[],
  call: Parameters<RateProvider['fetch']>[1],
): Promise<(RoundItem & DuePair)[]> {
  const named = batch.flatMap((pair): Named[] => {
    const symbol = pair.symbol ?? provider.symbolOf(pair.base, pair.quote);
    return symbol === null ? [] : [{ ...pair, symbol }];
  });
  const quotes = named.length === 0 ? [] : await provider.fetch(named, call);
  const byId = new Map(named.map((pair, index) => [pair.id, quotes[index]]));
  return batch.map((pair) => ({ ...pair, ...judge(byId.has(pair.id), byId.get(pair.id)), id: pair.id }));
}

/** A price that is exact, above zero and of a sensible size, or why there is none. */
function judge(
  asked: boolean,
  quote: ProviderQuote | undefined,
): { price: string; ageMs: number } | { error: string } {
  if (!asked) return { error: 'SymbolUnknown' };
  if (quote === undefined || 'missing' in quote) return { error: 'PairUnknown' };
  if (quote.price === null) return { error: 'PriceMissing' };
  const price = typeof quote.price === 'string' ? parsePrice(quote.price) : null;
  return price === null ? { error: 'PriceInvalid' } : { price, ageMs: Math.round(quote.ageMs) };
}
