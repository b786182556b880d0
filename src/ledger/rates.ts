import type { RateSnapshot } from '../core/rates/rate.ts';
import type { RateSource } from '../core/rates/rate-reader.ts';
import type { Queryable } from './database.ts';

/** The ledger as whoever shows rates reads it. */
export function createRateSource(db: Queryable): RateSource {
  return {
    readVersion: (namespace) => readRateVersion(db, namespace),
    readSnapshot: (namespace) => readRateSnapshot(db, namespace),
  };
}

/** The version of a namespace's rates; 0 when it has none. */
export async function readRateVersion(db: Queryable, namespace: string): Promise<number> {
  const { rows } = await db.query<{ version: number }>(
    '/* rate-version */ select version from rate_boards where namespace = $1',
    [namespace],
  );
  return rows[0]?.version ?? 0;
}

/** All enabled pairs of a namespace as they stand, in one statement, so that version and rates fit. */
export async function readRateSnapshot(db: Queryable, namespace: string): Promise<RateSnapshot> {
  const { rows } = await db.query<{
    version: number;
    provider: string | null;
    base: string;
    quote: string;
    price: string | null;
    at: Date | null;
    interval_seconds: number;
    error: string | null;
  }>(
    `/* rate-snapshot */ select coalesce(b.version, 0) as version, t.provider, t.base, t.quote, trim_scale(c.price)::text as price, c.at,
       t.interval_seconds, c.error
     from (select $1::text as namespace) n
     left join rate_boards b on b.namespace = n.namespace
     left join trade_info t on t.namespace = n.namespace and t.enabled
     left join current_rates c on c.trade_id = t.id
     order by t.base, t.quote, t.provider`,
    [namespace],
  );
  return {
    version: rows[0]?.version ?? 0,
    rates: rows.flatMap(({ provider, base, quote, price, at, interval_seconds, error }) =>
      provider === null
        ? []
        : {
            provider,
            base,
            quote,
            price,
            atMs: at?.getTime() ?? null,
            intervalSeconds: interval_seconds,
            error,
          },
    ),
  };
}

export const HISTORY_STEPS = ['raw', '1m', '1h', '1d'] as const;
export type HistoryStep = (typeof HISTORY_STEPS)[number];

/** What a pair cost from `atMs` on, for as long as the step; of `raw` each price is a point of its own. */
export interface HistoryPoint {
  atMs: number;
  open: string;
  high: string;
  low: string;
  close: string;
  samples: number;
}

export interface HistoryQuestion {
  namespace: string;
  provider: string;
  base: string;
  quote: string;
  step: HistoryStep;
  /** Inclusive. */
  fromMs: number;
  /** Exclusive. */
  toMs: number;
  limit: number;
}

/** The points in time's order, at most `limit`; null when the pair is not tracked. */
export async function readRateHistory(
  db: Queryable,
  question: HistoryQuestion,
): Promise<HistoryPoint[] | null> {
  const { namespace, provider, base, quote, step, fromMs, toMs, limit } = question;
  const { rows: tracked } = await db.query<{ id: number }>(
    '/* trade-id */ select id from trade_info where namespace = $1 and provider = $2 and base = $3 and quote = $4',
    [namespace, provider, base, quote],
  );
  const id = tracked[0]?.id;
  if (id === undefined) return null;
  const range = [id, new Date(fromMs), new Date(toMs), limit];
  const { rows } = await db.query<{ at: Date } & Omit<HistoryPoint, 'atMs'>>(
    step === 'raw'
      ? `/* rate-history */ select at, p as open, p as high, p as low, p as close, 1 as samples from (
           select at, trim_scale(price)::text as p from rate_history where trade_id = $1 and at >= $2 and at < $3
           order by at limit $4) h`
      : `/* rate-bars */ select at, trim_scale(open)::text as open, trim_scale(high)::text as high, trim_scale(low)::text as low,
           trim_scale(close)::text as close, samples
         from rate_bars where trade_id = $1 and step = $5 and at >= $2 and at < $3 order by at limit $4`,
    step === 'raw' ? range : [...range, step],
  );
  return rows.map(({ at, open, high, low, close, samples }) => ({
    atMs: at.getTime(),
    ...{ open, high, low, close, samples },
  }));
}

/** How fresh the pairs of each provider are, over all namespaces; for metrics. */
export async function countRateStates(
  db: Queryable,
): Promise<{ provider: string; state: 'fresh' | 'stale' | 'failing' | 'waiting'; pairs: number }[]> {
  const { rows } = await db.query(
    `/* rate-states */ select t.provider, case
         when c.error is not null then 'failing' when c.at is null then 'waiting'
         when c.at < now() - make_interval(secs => greatest(30, 3 * t.interval_seconds)) then 'stale' else 'fresh' end as state,
       count(*)::integer as pairs
     from trade_info t left join current_rates c on c.trade_id = t.id where t.enabled group by 1, 2`,
  );
  return rows;
}

/** The state of each provider's budget; for metrics. */
export async function readBudgets(
  db: Queryable,
): Promise<{ name: string; bannedSeconds: number; usedToday: number; usedThisMonth: number }[]> {
  const { rows } = await db.query(
    `/* budgets */ select name, extract(epoch from greatest(banned_until, now()) - now())::double precision as "bannedSeconds",
       case when day = (now() at time zone 'UTC')::date then used else 0 end as "usedToday",
       case when month = date_trunc('month', now() at time zone 'UTC')::date then used_month else 0 end as "usedThisMonth"
     from budgets order by name limit 200`,
  );
  return rows;
}
