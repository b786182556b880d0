-- The Telegram bot: who wants to hear of which rate, and the messages on their way.

set local search_path = longshore, public;

-- A chat's wish. `met`: whether the last price that was judged was beyond the threshold; null before the first one. An alert
-- goes out when it turns true, so once for each crossing, whatever dies in between.
create table subscriptions (
  id bigint generated always as identity primary key,
  namespace text not null check (namespace ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
  chat_id bigint not null,
  base text not null check (base ~ '^[A-Z0-9]{1,20}$'),
  quote text not null check (quote ~ '^[A-Z0-9]{1,20}$'),
  kind text not null check (kind in ('above', 'below', 'every')),
  threshold numeric check (threshold > 0 and threshold < 1e30),
  every_seconds integer check (every_seconds between 60 and 2592000),
  met boolean,
  next_at timestamptz,
  created_at timestamptz not null default now(),
  check (base <> quote),
  check ((kind = 'every') = (threshold is null)),
  check ((kind = 'every') = (every_seconds is not null)),
  check ((kind = 'every') = (next_at is not null))
);
create unique index subscriptions_once on subscriptions
  (namespace, chat_id, base, quote, kind, coalesce(threshold, 0), coalesce(every_seconds, 0));
create index subscriptions_watched on subscriptions (namespace, base, quote) where kind <> 'every';
create index subscriptions_due on subscriptions (namespace, next_at) where kind = 'every';

-- The newest board of rates that a namespace's thresholds were judged by: each is judged once, and none after a newer one.
create table judged_boards (namespace text primary key, version bigint not null) with (fillfactor = 50);

-- What the bot says: an answer to an update, or something of a subscription. A message waits until `ended_at` is set; `due_at`
-- is also the end of a sender's claim. `update_id` makes the answer to an update that comes twice one answer.
create table bot_messages (
  id bigint generated always as identity primary key,
  namespace text not null,
  chat_id bigint not null,
  update_id bigint,
  subscription_id bigint references subscriptions (id) on delete cascade,
  content jsonb not null,
  attempts integer not null default 0,
  due_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  error text check (length(error) <= 200)
) with (fillfactor = 70);
create unique index bot_messages_once on bot_messages (namespace, update_id) where update_id is not null;
-- While Telegram cannot be reached reports do not pile up: the one that waits gets the newest rate.
create unique index bot_messages_report on bot_messages (subscription_id) where ended_at is null and content->>'kind' = 'report';
create index bot_messages_waiting on bot_messages (namespace, chat_id, id) where ended_at is null;
create index bot_messages_due on bot_messages (namespace, due_at) where ended_at is null;
create index bot_messages_ended on bot_messages (ended_at) where ended_at is not null;
create index bot_messages_subscription on bot_messages (subscription_id) where subscription_id is not null;
