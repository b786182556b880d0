import type { Queryable } from './database.ts';

/** What is tracked: a pair at a provider. */
export interface TradeInfo {
  namespace: string;
  provider: string;
  base: string;
  quote: string;
  /** What the provider calls it; null: as the provider makes it of base and quote. */
  providerSymbol: string | null;
  intervalSeconds: number;
  enabled: boolean;
}

/** With how its last round went. */
export interface TradeInfoState extends TradeInfo {
  price: string | null;
  atMs: number | null;
  error: string | null;
  /** Rounds in a row that brought no price. */
  failures: number;
}

export interface TradeKey {
  namespace: string;
  provider: string;
  base: string;
  quote: string;
}

interface Row {
  namespace: string;
  provider: string;
  base: string;
  quote: string;
  provider_symbol: string | null;
  interval_seconds: number;
  enabled: boolean;
  price: string | null;
  at: Date | null;
  error: string | null;
  failures: number | null;
}

const SELECT = `select t.namespace, t.provider, t.base, t.quote, t.provider_symbol, t.interval_seconds, t.enabled,
    trim_scale(c.price)::text as price, c.at, c.error, c.failures
  from trade_info t left join current_rates c on c.trade_id = t.id`;

/** Makes a row or changes it. What was known of a pair stays, unless the provider's name for it changed. */
export async function putTradeInfo(db: Queryable, info: TradeInfo): Promise<'created' | 'updated'> {
  const { rows } = await db.query<{ created: boolean }>(
    `/* trade-put */ with put as (
       insert into trade_info as t (namespace, provider, base, quote, provider_symbol, interval_seconds, enabled)
       values ($1, $2, $3, $4, $5, $6, $7)
       on conflict (namespace, provider, base, quote) do update set provider_symbol = excluded.provider_symbol,
         interval_seconds = excluded.interval_seconds, enabled = excluded.enabled, updated_at = now()
       returning id, xmax = 0 as created
     ), again as (
       -- A pair that failed is asked for at once: its row was put right.
       update current_rates c set retry_at = null from put where c.trade_id = put.id and c.error is not null
     )
     select created from put`,
    [
      info.namespace,
      info.provider,
      info.base,
      info.quote,
      info.providerSymbol,
      info.intervalSeconds,
      info.enabled,
    ],
  );
  return rows[0]?.created === true ? 'created' : 'updated';
}

/** Adds rows that are not there; answers how many were not. */
export async function addTradeInfos(db: Queryable, infos: readonly TradeInfo[]): Promise<number> {
  const { rowCount } = await db.query(
    `/* trade-add */ insert into trade_info (namespace, provider, base, quote, provider_symbol, interval_seconds, enabled)
     select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::boolean[])
     on conflict do nothing`,
    [
      infos.map((info) => info.namespace),
      infos.map((info) => info.provider),
      infos.map((info) => info.base),
      infos.map((info) => info.quote),
      infos.map((info) => info.providerSymbol),
      infos.map((info) => info.intervalSeconds),
      infos.map((info) => info.enabled),
    ],
  );
  return rowCount ?? 0;
}

export async function getTradeInfo(db: Queryable, key: TradeKey): Promise<TradeInfoState | null> {
  const { rows } = await db.query<Row>(
    `/* trade */ ${SELECT} where t.namespace = $1 and t.provider = $2 and t.base = $3 and t.quote = $4`,
    [key.namespace, key.provider, key.base, key.quote],
  );
  return rows[0] === undefined ? null : toState(rows[0]);
}

/** A page in the order of provider, base and quote: those after `after`. */
export async function listTradeInfo(
  db: Queryable,
  namespace: string,
  page: { limit: number; after: Omit<TradeKey, 'namespace'> | null },
): Promise<TradeInfoState[]> {
  const { after } = page;
  const { rows } = await db.query<Row>(
    `/* trades */ ${SELECT} where t.namespace = $1
       and ($2::text is null or (t.provider, t.base, t.quote) > ($2::text, $3::text, $4::text))
     order by t.provider, t.base, t.quote limit $5`,
    [namespace, after?.provider ?? null, after?.base ?? null, after?.quote ?? null, page.limit],
  );
  return rows.map(toState);
}

/** Ends the tracking of a pair and forgets its rates; its history goes with the next sweep. */
export async function deleteTradeInfo(db: Queryable, key: TradeKey): Promise<boolean> {
  const { rowCount } = await db.query(
    '/* trade-drop */ delete from trade_info where namespace = $1 and provider = $2 and base = $3 and quote = $4',
    [key.namespace, key.provider, key.base, key.quote],
  );
  return rowCount === 1;
}

/** The providers that enabled pairs name, with their shortest interval. */
export async function listTrackedProviders(
  db: Queryable,
): Promise<{ namespace: string; provider: string; everySeconds: number; pairs: number }[]> {
  const { rows } = await db.query(
    `/* trade-providers */ select namespace, provider, min(interval_seconds) as "everySeconds", count(*)::integer as pairs
     from trade_info where enabled group by 1, 2 order by 1, 2`,
  );
  return rows;
}

function toState(row: Row): TradeInfoState {
  return {
    namespace: row.namespace,
    provider: row.provider,
    base: row.base,
    quote: row.quote,
    providerSymbol: row.provider_symbol,
    intervalSeconds: row.interval_seconds,
    enabled: row.enabled,
    price: row.price,
    atMs: row.at?.getTime() ?? null,
    error: row.error,
    failures: row.failures ?? 0,
  };
}
