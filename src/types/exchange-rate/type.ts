import { z } from 'zod';
import { defineJobType } from '../../core/job-type.ts';
import { PROVIDER_NAMES } from './provider-folder.ts';

const input = z.strictObject({
  provider: z.enum(PROVIDER_NAMES as [string, ...string[]]).describe('Who is asked'),
});

const result = z.strictObject({
  provider: z.string(),
  /** Pairs that were due in this round; fewer after a retry, which asks for the rest. */
  due: z.int(),
  quoted: z.int(),
  failed: z.int(),
  /** The first of those that failed: `PairUnknown`, `PriceMissing`, `PriceInvalid` or `SymbolUnknown`. */
  failures: z.array(z.strictObject({ base: z.string(), quote: z.string(), code: z.string() })),
});

export type ExchangeRateInput = z.output<typeof input>;
export type ExchangeRateResult = z.output<typeof result>;

/**
 * One round: asks a provider for all pairs that are due. Terminal errors: `UpstreamRefused`, `UpstreamTooLarge`,
 * `ProviderKeyInvalid`. Retryable errors: `UpstreamRateLimited`, `UpstreamBanned`, `UpstreamUnavailable`,
 * `UpstreamUnreachable`, `UpstreamTimeout`, `UpstreamInvalidAnswer`.
 */
export const exchangeRateType = defineJobType({
  name: 'exchange-rate',
  description: 'Asks one provider of exchange rates for all pairs that are due',
  input,
  result,
  defaults: {
    timeoutSeconds: 60,
    maxTimeoutSeconds: 600,
    retries: 3,
    backoff: { baseMs: 1_000, maxMs: 10_000 },
    ttlSecondsAfterFinished: 60,
  },
});
