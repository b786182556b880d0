/** What is asked for: units of `quote` for one of `base`. */
export interface Pair {
  base: string;
  quote: string;
}

/** What a provider said of a pair: one unit of `base` costs `price` units of `quote`. `price` is exact decimal text. */
export interface Quote {
  provider: string;
  base: string;
  quote: string;
  price: string;
  /** When the provider had it so; milliseconds since the epoch. */
  atMs: number;
}

/** A tracked pair as it stands. Without a quote yet price and time are null. */
export interface TrackedRate {
  provider: string;
  base: string;
  quote: string;
  price: string | null;
  atMs: number | null;
  intervalSeconds: number;
  /** Why the last round got no price, such as `PairUnknown`; null when it did. */
  error: string | null;
}

/** All rates of a namespace at one moment. */
export interface RateSnapshot {
  /** Grows with each change. */
  version: number;
  rates: TrackedRate[];
}

/** What a rate is made of, with its age. */
export interface RateLeg extends Quote {
  ageMs: number;
  stale: boolean;
}

/** The answer to "what does `base` cost in `quote`?" */
export interface Rate {
  base: string;
  quote: string;
  /** Exact for a direct quote; rounded to 20 digits when it was computed. */
  price: string;
  /** Of the oldest leg. */
  atMs: number;
  ageMs: number;
  /** Whether a leg is older than it may be: never to be shown as fresh. */
  stale: boolean;
  /** When that will be, or was, unless a newer price comes. */
  freshUntilMs: number;
  /** The one provider of all legs, or null when they have several. */
  provider: string | null;
  /** The asset between the two of a cross rate, else null. */
  via: string | null;
  /** One quote, or the two of a cross rate; each as its provider has it, which may be the other way round. */
  legs: RateLeg[];
  /** The shortest interval of the legs: sooner nothing changes. */
  intervalSeconds: number;
}

/** Asset codes as they are kept. */
export const ASSET = /^[A-Z0-9]{1,20}$/;

/** `BTC-USDT` in any case as base and quote; null for other text. */
export function parsePair(text: string): Pair | null {
  const [base = '', quote = '', ...rest] = text.toUpperCase().split('-');
  return rest.length === 0 && ASSET.test(base) && ASSET.test(quote) && base !== quote
    ? { base, quote }
    : null;
}

const LEAST_STALE_MS = 30_000;

/** A quote is stale when three rounds of it have brought nothing, and never before 30 s. */
export function staleAfterMs(intervalSeconds: number): number {
  return Math.max(LEAST_STALE_MS, 3 * intervalSeconds * 1_000);
}
