import type { HandlerContext } from '../../core/handler.ts';
import { callUpstream } from '../upstream.ts';
import { parseExactJson } from './exact-json.ts';
import type { ProviderCall, ProviderSettings } from './provider.ts';

export interface ProviderCallOptions {
  /** Of the provider; its budget has the same. */
  name: string;
  title: string;
  settings: ProviderSettings;
  timeoutMs: number;
  maxBytes: number;
  onBan(forMs: number): Promise<void>;
}

/** Clocks that differ by more are worth a line in the log. */
const MUCH_SKEW_MS = 30_000;

/** Calls of one round to its provider: within the budget of all workers, and with every number as its text. */
export function createProviderCall(context: HandlerContext, options: ProviderCallOptions): ProviderCall {
  const { name, title, settings, timeoutMs, maxBytes, onBan } = options;
  const { perMinute, perMonth } = settings.limits;
  return {
    settings,
    pause: (forMs) => context.pauseBudget(name, forMs),
    async get({ path, query, headers = {}, weight = 1 }) {
      const url = new URL(settings.baseUrl.replace(/\/$/, '') + path);
      for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
      const budget = { name, perSecond: perMinute / 60, perDay: 0, perMonth, weight };
      const parse = parseExactJson;
      const answer = await callUpstream(context, {
        ...{ provider: title, url, headers, budget, timeoutMs, maxBytes, parse, onBan },
      });
      return { ...answer, ...readClock(context, name, answer.headers) };
    },
  };
}

/** The provider's own clock: ages that are reckoned by it do not depend on ours. */
function readClock(
  { logger }: HandlerContext,
  provider: string,
  headers: Record<string, string>,
): { answeredAtMs: number; cachedMs: number } {
  const nowMs = Date.now();
  const age = headers.age ?? '';
  const cachedMs = /^\d{1,9}$/.test(age) ? Number(age) * 1_000 : 0;
  const sentAtMs = Date.parse(headers.date ?? '');
  if (Number.isNaN(sentAtMs)) return { answeredAtMs: nowMs, cachedMs };
  const skewMs = sentAtMs + cachedMs - nowMs;
  if (Math.abs(skewMs) > MUCH_SKEW_MS) {
    logger.warn({ provider, skew_ms: skewMs }, 'Found the clock of a provider far from ours');
  }
  return { answeredAtMs: sentAtMs, cachedMs };
}
