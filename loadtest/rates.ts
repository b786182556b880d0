import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** Pairs of each of the two providers. */
export const PAIRS_EACH = 250;
const FILL_TIMEOUT_MS = 90_000;

/** Tracks 250 pairs at each provider every 10 s, and waits until each has a fresh rate. */
export async function trackPairs(ledger: pg.Client): Promise<void> {
  await ledger.query(
    `insert into longshore.trade_info (provider, base, quote, provider_symbol, interval_seconds)
     select 'binance', 'C' || n, 'USDT', null, 10 from generate_series(0, $1 - 1) n
     union all select 'coingecko', 'G' || n, 'USD', 'coin-' || n, 10 from generate_series(0, $1 - 1) n`,
    [PAIRS_EACH],
  );
  const deadline = Date.now() + FILL_TIMEOUT_MS;
  for (;;) {
    const fresh = await countFresh(ledger);
    if (fresh === 2 * PAIRS_EACH) return;
    if (Date.now() > deadline) throw new Error(`${fresh} of ${2 * PAIRS_EACH} pairs had a rate in time`);
    await sleep(500);
  }
}

async function countFresh(ledger: pg.Client): Promise<number> {
  const { rows } = await ledger.query(
    `select count(*)::integer as n from longshore.current_rates where at > now() - interval '30 seconds'`,
  );
  return rows[0].n;
}

/** The longest gap between two prices of a pair since then, in seconds, and the pairs that have any. */
export async function readGaps(
  ledger: pg.Client,
  sinceMs: number,
): Promise<{ pairs: number; longest: number; median: number; rounds: number }> {
  const { rows } = await ledger.query(
    `with gap as (
       select trade_id, extract(epoch from at - lag(at) over (partition by trade_id order by at)) as seconds
       from longshore.rate_history where at >= $1)
     select count(distinct trade_id)::integer as pairs, max(seconds)::double precision as longest,
       percentile_cont(0.5) within group (order by seconds)::double precision as median,
       (select count(*)::integer from longshore.jobs where type = 'exchange-rate' and finished_at >= $1 and status = 'SUCCESS') as rounds
     from gap`,
    [new Date(sinceMs)],
  );
  return rows[0];
}
