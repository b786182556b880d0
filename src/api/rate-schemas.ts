import { z } from 'zod';
import { parsePair } from '../core/rates/rate.ts';
import { HISTORY_STEPS } from '../ledger/rates.ts';
import { PROVIDER_NAMES } from '../types/exchange-rate/provider-folder.ts';
import { cursor, limit } from './schemas.ts';

/** The shapes of exchange rates in REST. */

export const MAX_PAIRS = 100;
export const MAX_POINTS = 5_000;
export const DEFAULT_POINTS = 1_000;

const provider = z.enum(PROVIDER_NAMES as [string, ...string[]]).describe('Only its quotes');

const pairs = z
  .string()
  .describe(`Up to ${MAX_PAIRS}, separated by commas: BTC-USDT,ETH-EUR; all that are tracked when absent`)
  .transform((text, context) => {
    const found = text.split(',').map((pair) => ({ text: pair, pair: parsePair(pair) }));
    const wrong = found.find(({ pair }) => pair === null);
    if (wrong === undefined && found.length <= MAX_PAIRS)
      return found.flatMap(({ pair }) => (pair === null ? [] : [pair]));
    const message =
      wrong === undefined ? `at most ${MAX_PAIRS} pairs` : 'must be pairs like BTC-USDT, separated by commas';
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });

export const rateQuery = z.strictObject({ provider: provider.optional() });

export const rateListQuery = z.strictObject({
  pairs: pairs.optional(),
  provider: provider.optional(),
  limit,
  cursor,
});

const time = z.iso.datetime({ offset: true, error: 'must be a time of ISO 8601 with its offset' });

export const rateHistoryQuery = z.strictObject({
  from: time.optional().describe('Inclusive; as long before `to` as suits the step when absent'),
  to: time.optional().describe('Exclusive; now when absent'),
  step: z.enum(HISTORY_STEPS).default('1m').describe('`raw` is every single price'),
  provider: provider.optional(),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,3}$/, { error: `must be a number from 1 to ${MAX_POINTS}` })
    .transform(Number)
    .refine((value) => value <= MAX_POINTS, { error: `must be a number from 1 to ${MAX_POINTS}` })
    .optional()
    .describe(`Points of one answer; ${DEFAULT_POINTS} unless told`),
});

const price = z.string().describe('Exact decimal');

const leg = z.object({
  provider: z.string(),
  base: z.string(),
  quote: z.string(),
  price,
  at: z.iso.datetime(),
  ageSeconds: z.int(),
  stale: z.boolean(),
});

export const rateSchema = z
  .object({
    base: z.string(),
    quote: z.string(),
    price: z
      .string()
      .describe('One unit of base in units of quote: as it was quoted, or computed to 20 digits'),
    provider: z.string().nullable().describe('Null when the two quotes of a cross rate have different ones'),
    via: z.string().nullable().describe('The asset between, of a cross rate'),
    at: z.iso.datetime().describe('When the provider had it so; of several quotes the oldest'),
    ageSeconds: z.int(),
    stale: z.boolean().describe('Older than three of its intervals (and than 30 s)'),
    legs: z.array(leg).describe('The quotes that it is made of'),
  })
  .meta({ id: 'Rate' });

export const rateListSchema = z.object({
  rates: z.array(rateSchema),
  unknown: z.array(z.string()).describe('Pairs that were asked for and are not known'),
  nextCursor: z.string().nullable(),
});

export const rateHistorySchema = z.object({
  base: z.string(),
  quote: z.string(),
  provider: z.string(),
  step: z.enum(HISTORY_STEPS),
  from: z.iso.datetime(),
  to: z.iso.datetime(),
  points: z.array(
    z.object({
      at: z.iso.datetime().describe('Beginning of the step'),
      open: price,
      high: price,
      low: price,
      close: price,
      samples: z.int(),
    }),
  ),
  nextFrom: z.iso.datetime().nullable().describe('`from` of the next page; null when this is the last'),
});

/** As the ledger's check has it. */
const symbol = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$/, { error: 'is no name of a pair' });

export const tradeInfoRequest = z
  .strictObject({
    providerSymbol: symbol
      .nullable()
      .default(null)
      .describe('What the provider calls it; null: as it makes it of base and quote'),
    intervalSeconds: z.int().min(1).max(86_400).default(60),
    enabled: z.boolean().default(true),
  })
  .meta({ id: 'TradeInfoRequest' });

export const tradeInfoSchema = z
  .object({
    provider: z.string(),
    base: z.string(),
    quote: z.string(),
    providerSymbol: z.string().nullable(),
    intervalSeconds: z.int(),
    enabled: z.boolean(),
    price: price.nullable(),
    at: z.iso.datetime().nullable(),
    error: z
      .string()
      .nullable()
      .describe(
        'Why the last round got no price: PairUnknown, PriceMissing, PriceInvalid, SymbolUnknown, ProviderUnknown',
      ),
    failures: z.int().describe('Rounds in a row without a price'),
  })
  .meta({ id: 'TradeInfo' });

export const tradeInfoListQuery = z.strictObject({ limit, cursor });

export const tradeInfoListSchema = z.object({
  tradeInfo: z.array(tradeInfoSchema),
  nextCursor: z.string().nullable(),
});
