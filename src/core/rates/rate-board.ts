import { compareDecimals, divide, ratio } from './decimal.ts';
import { type Rate, type RateLeg, type RateSnapshot, staleAfterMs, type TrackedRate } from './rate.ts';

/** Assets that cross rates are looked for through first: those with the deepest markets. */
const COMMON_ASSETS = ['USDT', 'USD', 'USDC', 'EUR', 'BTC', 'ETH'];

/** One step from an asset to another, along a quote or against it. */
interface Step {
  rate: TrackedRate & { price: string; atMs: number };
  inverse: boolean;
  price: string;
}

export interface RateQuestion {
  base: string;
  quote: string;
  /** Only this provider's quotes. */
  provider?: string | undefined;
}

/** All rates of a namespace, to be asked for any pair. Never changes: a newer one takes its place. */
export class RateBoard {
  readonly version: number;
  /** In the order of the ledger. */
  readonly rates: readonly TrackedRate[];
  readonly #steps = new Map<string, Map<string, Step[]>>();

  constructor({ version, rates }: RateSnapshot) {
    this.version = version;
    this.rates = rates;
    for (const rate of rates) {
      if (rate.price === null || rate.atMs === null) continue;
      const known = { ...rate, price: rate.price, atMs: rate.atMs };
      this.#add(rate.base, rate.quote, { rate: known, inverse: false, price: rate.price });
      this.#add(rate.quote, rate.base, { rate: known, inverse: true, price: divide('1', rate.price) });
    }
  }

  /**
   * What `base` costs, or null when no quote says so. A direct quote goes before its inverse, that before a cross rate, and
   * a fresh one of any kind before a stale one. Of several providers the best bid is taken: the highest price.
   */
  find({ base, quote, provider }: RateQuestion, nowMs: number): Rate | null {
    const steps = this.#between(base, quote, provider);
    const direct = best(
      steps.filter((step) => !step.inverse),
      nowMs,
    );
    const inverse = best(
      steps.filter((step) => step.inverse),
      nowMs,
    );
    const ways: Step[][] = [direct, inverse].flatMap((step) => (step === null ? [] : [[step]]));
    const simple = ways.find((way) => !way.some((step) => isStale(step, nowMs)));
    if (simple !== undefined) return toRate(simple, { base, quote, via: null, nowMs });
    const cross = this.#cross({ base, quote, provider }, nowMs);
    const way = [cross?.way, ...ways, cross?.stale].find((found) => found !== undefined);
    if (way === undefined) return null;
    return toRate(way, { base, quote, via: way.length === 2 ? (cross?.via ?? null) : null, nowMs });
  }

  /** Pairs that are tracked, and why each that has no quote has none. */
  tracked({ base, quote, provider }: RateQuestion): TrackedRate[] {
    return this.rates.filter(
      (rate) =>
        rate.base === base && rate.quote === quote && (provider === undefined || rate.provider === provider),
    );
  }

  #add(from: string, to: string, step: Step): void {
    let targets = this.#steps.get(from);
    if (targets === undefined) {
      targets = new Map();
      this.#steps.set(from, targets);
    }
    const others = targets.get(to);
    if (others === undefined) targets.set(to, [step]);
    else others.push(step);
  }

  #between(from: string, to: string, provider: string | undefined): Step[] {
    const steps = this.#steps.get(from)?.get(to) ?? [];
    return provider === undefined ? steps : steps.filter(({ rate }) => rate.provider === provider);
  }

  /** The first common asset with a fresh quote on both sides, or else the first with any. */
  #cross(
    { base, quote, provider }: RateQuestion,
    nowMs: number,
  ): { way?: Step[]; stale?: Step[]; via: string } | null {
    const reached = this.#steps.get(base);
    const far = this.#steps.get(quote);
    if (reached === undefined || far === undefined) return null;
    const common = [...reached.keys()].filter((asset) => far.has(asset)).sort(byDepth);
    let stale: { stale: Step[]; via: string } | null = null;
    for (const via of common) {
      const first = best(this.#between(base, via, provider), nowMs);
      const second = best(this.#between(via, quote, provider), nowMs);
      if (first === null || second === null) continue;
      const way = [first, second];
      if (!way.some((step) => isStale(step, nowMs))) return { way, via };
      stale ??= { stale: way, via };
    }
    return stale;
  }
}

function byDepth(a: string, b: string): number {
  const [rankA, rankB] = [a, b].map((asset) => {
    const rank = COMMON_ASSETS.indexOf(asset);
    return rank < 0 ? COMMON_ASSETS.length : rank;
  }) as [number, number];
  return rankA - rankB || (a < b ? -1 : 1);
}

function isStale({ rate }: Step, nowMs: number): boolean {
  return nowMs - rate.atMs > staleAfterMs(rate.intervalSeconds);
}

/** Of the fresh ones the highest price; without a fresh one the youngest. */
function best(steps: readonly Step[], nowMs: number): Step | null {
  let found: Step | null = null;
  for (const step of steps) if (found === null || isBetter(step, found, nowMs)) found = step;
  return found;
}

function isBetter(step: Step, than: Step, nowMs: number): boolean {
  const [stale, thanStale] = [isStale(step, nowMs), isStale(than, nowMs)];
  if (stale !== thanStale) return thanStale;
  if (stale) return step.rate.atMs > than.rate.atMs;
  return compareDecimals(step.price, than.price) > 0;
}

/** A single quote as it was said; anything else is computed, and rounded once. */
function priceOf(way: readonly Step[]): string {
  const [first] = way;
  if (way.length === 1 && first?.inverse === false) return first.price;
  const quoted = (inverse: boolean) =>
    way.filter((step) => step.inverse === inverse).map((step) => step.rate.price);
  return ratio(quoted(false), quoted(true));
}

function toRate(
  way: readonly Step[],
  { base, quote, via, nowMs }: { base: string; quote: string; via: string | null; nowMs: number },
): Rate {
  const legs = way.map((step): RateLeg => {
    const { provider, atMs, price } = step.rate;
    return {
      provider,
      base: step.rate.base,
      quote: step.rate.quote,
      price,
      atMs,
      ageMs: Math.max(0, nowMs - atMs),
      stale: isStale(step, nowMs),
    };
  });
  const atMs = Math.min(...legs.map((leg) => leg.atMs));
  const providers = new Set(legs.map((leg) => leg.provider));
  return {
    base,
    quote,
    price: priceOf(way),
    atMs,
    ageMs: Math.max(0, nowMs - atMs),
    stale: legs.some((leg) => leg.stale),
    freshUntilMs: Math.min(...way.map(({ rate }) => rate.atMs + staleAfterMs(rate.intervalSeconds))),
    provider: providers.size === 1 ? (legs[0]?.provider ?? null) : null,
    via,
    legs,
    intervalSeconds: Math.min(...way.map(({ rate }) => rate.intervalSeconds)),
  };
}
