import type { Pair } from '../core/rates/rate.ts';
import type { Database, DatabaseClient, Queryable } from './database.ts';
import { withTransaction } from './database.ts';

/** When a chat wants to hear of a pair. `threshold` is exact decimal text. */
export type SubscriptionRule =
  | { kind: 'above' | 'below'; threshold: string }
  | { kind: 'every'; seconds: number };

export interface Subscription {
  id: number;
  chatId: number;
  base: string;
  quote: string;
  rule: SubscriptionRule;
}

export interface NewSubscription extends Omit<Subscription, 'id'> {
  namespace: string;
  /** Whether the price is beyond the threshold already: then the next crossing is the first to be told. Null: not known. */
  met: boolean | null;
}

interface Row {
  id: number;
  chat_id: number;
  base: string;
  quote: string;
  kind: 'above' | 'below' | 'every';
  threshold: string | null;
  every_seconds: number | null;
}

const COLUMNS = 'id, chat_id, base, quote, kind, trim_scale(threshold)::text as threshold, every_seconds';

/** Adds it unless the chat has it already, or has `limit` of them. */
export async function addSubscription(
  db: Queryable,
  { namespace, chatId, base, quote, rule, met }: NewSubscription,
  limit: number,
): Promise<'added' | 'existing' | 'full'> {
  const [threshold, seconds] = rule.kind === 'every' ? [null, rule.seconds] : [rule.threshold, null];
  const key = [namespace, chatId, base, quote, rule.kind, threshold, seconds];
  const { rowCount } = await db.query(
    `/* subscribe */ insert into subscriptions (namespace, chat_id, base, quote, kind, threshold, every_seconds, met, next_at)
     select $1, $2, $3, $4, $5, $6::numeric, $7::integer, $8, case when $5 = 'every' then now() + make_interval(secs => $7::integer) end
     where (select count(*) from subscriptions where namespace = $1 and chat_id = $2) < $9
     on conflict do nothing`,
    [...key, rule.kind === 'every' ? null : met, limit],
  );
  if (rowCount === 1) return 'added';
  const { rowCount: held } = await db.query(
    `/* subscription */ select from subscriptions where namespace = $1 and chat_id = $2 and base = $3 and quote = $4 and kind = $5
       and threshold is not distinct from $6::numeric and every_seconds is not distinct from $7::integer`,
    key,
  );
  return held === 0 ? 'full' : 'existing';
}

/** A chat's subscriptions, oldest first. */
export async function listSubscriptions(
  db: Queryable,
  namespace: string,
  chatId: number,
): Promise<Subscription[]> {
  const { rows } = await db.query<Row>(
    `/* subscriptions */ select ${COLUMNS} from subscriptions where namespace = $1 and chat_id = $2 order by id`,
    [namespace, chatId],
  );
  return rows.map(toSubscription);
}

/** Ends one subscription of a chat, or with null all of them; what waits to be sent of them goes too. Answers how many. */
export async function removeSubscriptions(
  db: Queryable,
  namespace: string,
  chatId: number,
  id: number | null,
): Promise<number> {
  const { rowCount } = await db.query(
    '/* unsubscribe */ delete from subscriptions where namespace = $1 and chat_id = $2 and ($3::bigint is null or id = $3)',
    [namespace, chatId, id],
  );
  return rowCount ?? 0;
}

/** The bot may not write there any more: forgets what the chat wanted, and ends what waits for it. */
export async function endChat(
  db: Queryable,
  namespace: string,
  chatId: number,
  error: string,
): Promise<void> {
  await db.query(
    `/* end-chat */ with gone as (delete from subscriptions where namespace = $1 and chat_id = $2)
     update bot_messages set ended_at = now(), error = $3
     where namespace = $1 and chat_id = $2 and ended_at is null and subscription_id is null`,
    [namespace, chatId, error],
  );
}

/** A group became a supergroup, which has another id. What the new one has already is not doubled. */
export async function moveChat(db: Database, namespace: string, from: number, to: number): Promise<void> {
  await withTransaction(db, async (client) => {
    await client.query(
      `/* move-chat */ update subscriptions s set chat_id = $3 where namespace = $1 and chat_id = $2
         and not exists (select from subscriptions o where o.namespace = $1 and o.chat_id = $3 and o.base = s.base
           and o.quote = s.quote and o.kind = s.kind and o.threshold is not distinct from s.threshold
           and o.every_seconds is not distinct from s.every_seconds)`,
      [namespace, from, to],
    );
    await client.query(
      `/* move-messages */ update bot_messages set chat_id = $3, due_at = now()
       where namespace = $1 and chat_id = $2 and ended_at is null`,
      [namespace, from, to],
    );
    await removeSubscriptions(client, namespace, from, null);
  });
}

/** What a pair costs, as a board says it. */
export interface JudgedPrice {
  base: string;
  quote: string;
  price: string;
  atMs: number;
  /** Later it is stale. */
  freshUntilMs: number;
  /** As a provider said it; otherwise computed. */
  exact: boolean;
}

/**
 * Judges all thresholds of a namespace by a board, and puts an alert into the outbox for each that was crossed: all of it or
 * nothing, and each board once, whichever processes try.
 *
 * @param priceOf - The fresh price of a pair; null leaves its subscriptions as they are.
 * @returns the alerts; null when this board or a newer one has been judged.
 */
export async function judgeThresholds(
  db: Database,
  board: { namespace: string; version: number },
  priceOf: (pair: Pair) => JudgedPrice | null,
): Promise<number | null> {
  const { namespace, version } = board;
  return withTransaction(db, async (client) => {
    const { rowCount } = await client.query(
      `/* judge-board */ insert into judged_boards as b (namespace, version) values ($1, $2)
       on conflict (namespace) do update set version = excluded.version where b.version < excluded.version`,
      [namespace, version],
    );
    if (rowCount === 0) return null;
    const { rows: pairs } = await client.query<Pair>(
      "/* watched-pairs */ select distinct base, quote from subscriptions where namespace = $1 and kind <> 'every'",
      [namespace],
    );
    const prices = pairs.map(priceOf).filter((price) => price !== null);
    return prices.length === 0 ? 0 : judge(client, namespace, prices);
  });
}

async function judge(
  client: DatabaseClient,
  namespace: string,
  prices: readonly JudgedPrice[],
): Promise<number> {
  const { rowCount } = await client.query(
    `/* judge-thresholds */ with price as materialized (
       select p->>'base' as base, p->>'quote' as quote, (p->>'price')::numeric as price, p as said from jsonb_array_elements($2) p
     ), judged as (
       select s.id, s.met as was, p.said, case s.kind when 'above' then p.price > s.threshold else p.price < s.threshold end as met
       from subscriptions s join price p using (base, quote)
       where s.namespace = $1 and s.kind <> 'every'
     ), changed as (
       update subscriptions s set met = j.met from judged j where s.id = j.id and s.met is distinct from j.met
       returning s.id, s.chat_id, s.kind, trim_scale(s.threshold)::text as threshold, s.met, j.was, j.said
     )
     insert into bot_messages (namespace, chat_id, subscription_id, content)
     select $1, chat_id, id, jsonb_build_object('kind', 'alert', 'subscription', id, 'direction', kind, 'threshold', threshold, 'rate', said)
     from changed where met and was = false`,
    [namespace, JSON.stringify(prices)],
  );
  return rowCount ?? 0;
}

/**
 * Puts a report into the outbox for each subscription whose time has come, and sets its next time: the first one after now, so
 * that a pause is made up for by one report.
 *
 * @param priceOf - What the pair costs, stale or not; null without any price.
 * @returns the reports; as many as `limit` when there may be more.
 */
export async function queueReports(
  db: Database,
  namespace: string,
  priceOf: (pair: Pair) => JudgedPrice | null,
  limit: number,
): Promise<number> {
  return withTransaction(db, async (client) => {
    const { rows } = await client.query<Row>(
      `/* due-reports */ update subscriptions set
         next_at = next_at + make_interval(secs => every_seconds * (1 + floor(extract(epoch from now() - next_at) / every_seconds)))
       where id in (select id from subscriptions where namespace = $1 and kind = 'every' and next_at <= now()
         order by next_at limit $2 for update skip locked)
       returning ${COLUMNS}`,
      [namespace, limit],
    );
    const reports = rows.map(({ id, chat_id, base, quote }) => ({
      subscription: id,
      chat: chat_id,
      content: { kind: 'report', subscription: id, base, quote, rate: priceOf({ base, quote }) },
    }));
    if (reports.length === 0) return 0;
    await client.query(
      `/* queue-reports */ insert into bot_messages (namespace, chat_id, subscription_id, content)
       select $1, r.chat, r.subscription, r.content from jsonb_to_recordset($2) as r(chat bigint, subscription bigint, content jsonb)
       on conflict (subscription_id) where ended_at is null and content->>'kind' = 'report'
       do update set content = excluded.content`,
      [namespace, JSON.stringify(reports)],
    );
    return reports.length;
  });
}

/** How many there are of each kind. */
export async function countSubscriptions(
  db: Queryable,
  namespace: string,
): Promise<{ kind: string; count: number }[]> {
  const { rows } = await db.query<{ kind: string; count: number }>(
    '/* count-subscriptions */ select kind, count(*) as count from subscriptions where namespace = $1 group by kind',
    [namespace],
  );
  return rows;
}

function toSubscription({ id, chat_id, base, quote, kind, threshold, every_seconds }: Row): Subscription {
  const rule: SubscriptionRule =
    kind === 'every' ? { kind, seconds: every_seconds ?? 0 } : { kind, threshold: threshold ?? '' };
  return { id, chatId: chat_id, base, quote, rule };
}
