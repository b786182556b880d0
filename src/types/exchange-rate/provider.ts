/** A pair as its provider is asked for it. */
export interface ProviderPair {
  base: string;
  quote: string;
  /** What the provider calls it. */
  symbol: string;
}

/**
 * What a provider said of a pair. `price` is whatever stood in its answer, numbers as their text; `ageMs` how old that was by
 * the provider's own clock. `missing`: the answer does not know the pair.
 */
export type ProviderQuote = { price: unknown; ageMs: number } | { missing: true };

/** Calls over all workers; 0 is no limit. */
export interface ProviderLimits {
  /** Calls a minute, a call of weight w counting as w. */
  perMinute: number;
  /** Calls a month (UTC). */
  perMonth: number;
}

export interface ProviderSettings {
  baseUrl: string;
  /** Empty: none. */
  apiKey: string;
  limits: ProviderLimits;
}

export interface ProviderRequest {
  /** Appended to the base URL. */
  path: string;
  query: Record<string, string>;
  headers?: Record<string, string>;
  /** Defaults to 1. */
  weight?: number;
}

export interface ProviderResponse {
  /** Below 500, and neither 418 nor 429: those are dealt with. */
  status: number;
  /** Parsed, with every number as its text. */
  json: unknown;
  headers: Record<string, string>;
  /** When the provider made the answer, by its own clock; milliseconds since the epoch. */
  answeredAtMs: number;
  /** How long a cache between us has kept it. */
  cachedMs: number;
}

/** How a provider's file gets at the provider. */
export interface ProviderCall {
  settings: ProviderSettings;
  /**
   * Calls within the budget that all workers share. Rejects for what may pass (a limit, a ban, 5xx, a broken or unreadable
   * answer); the round is then tried again.
   */
  get(request: ProviderRequest): Promise<ProviderResponse>;
  /** Keeps every worker from the provider for so long. */
  pause(forMs: number): Promise<void>;
}

/**
 * A source of rates. One is added by a file `providers/<name>.ts` that exports it as `provider`: rows of `trade_info` name it
 * by the file's name, and nothing else has to know of it.
 */
export interface RateProvider {
  /** For people. */
  title: string;
  defaults: ProviderSettings;
  /** The most pairs of one `fetch`. */
  batch: number;
  /** What the provider calls a pair whose row does not say; null when the row has to. */
  symbolOf(base: string, quote: string): string | null;
  /** Quotes in the order of `pairs`. */
  fetch(pairs: readonly ProviderPair[], call: ProviderCall): Promise<ProviderQuote[]>;
}
