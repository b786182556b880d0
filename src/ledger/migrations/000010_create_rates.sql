-- Exchange rates: what is tracked, how it stands, its history; and budgets with weights and a month.

set local search_path = longshore, public;

-- What is tracked, for a namespace. A row that is inserted by hand is as good as one of REST. `provider_symbol` null: as the
-- provider makes it of base and quote.
create table trade_info (
  id bigint generated always as identity primary key,
  namespace text not null default 'default' check (namespace ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
  provider text not null check (provider ~ '^[a-z]([-a-z0-9]{0,29}[a-z0-9])?$'),
  base text not null check (base ~ '^[A-Z0-9]{1,20}$'),
  quote text not null check (quote ~ '^[A-Z0-9]{1,20}$'),
  provider_symbol text check (provider_symbol ~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$'),
  interval_seconds integer not null default 60 check (interval_seconds between 1 and 86400),
  enabled boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check (base <> quote),
  unique (namespace, provider, base, quote)
);

-- How each stands. `round_at` is the round that dealt with it last; after an error it is asked for again at `retry_at`.
create table current_rates (
  trade_id bigint primary key references trade_info (id) on delete cascade,
  price numeric check (price > 0 and price < 1e30),
  at timestamptz,
  round_at timestamptz not null,
  error text check (length(error) <= 100),
  failures integer not null default 0,
  retry_at timestamptz,
  check ((price is null) = (at is null))
) with (fillfactor = 50);

-- Every price that differs in its time from the one before. Without a reference: a pair that is gone is forgotten with its days.
create table rate_history (
  trade_id bigint not null,
  at timestamptz not null,
  price numeric not null,
  primary key (trade_id, at)
) partition by range (at);
create table rate_history_default partition of rate_history default;

-- The same by minute, hour and day (UTC), kept up with each price.
create table rate_bars (
  trade_id bigint not null references trade_info (id) on delete cascade,
  step text not null check (step in ('1m', '1h', '1d')),
  at timestamptz not null,
  open numeric not null,
  high numeric not null,
  low numeric not null,
  close numeric not null,
  samples integer not null,
  primary key (trade_id, step, at)
) with (fillfactor = 80);
create index rate_bars_by_age on rate_bars (step, at);

-- A namespace's rates as a whole have a version, so that a copy of them can be told from a newer one. It grows with the clock
-- too: after a restored backup no copy of before is newer.
create table rate_boards (namespace text primary key, version bigint not null) with (fillfactor = 50);

create function touch_rates(p_namespaces text[]) returns void language plpgsql as $$
declare
  v_board record;
begin
  for v_board in
    insert into rate_boards as b (namespace, version)
    select n, (extract(epoch from clock_timestamp()) * 1000)::bigint from unnest(p_namespaces) n group by n order by n
    on conflict (namespace) do update set version = greatest(b.version + 1, excluded.version)
    returning namespace, version
  loop
    perform pg_notify('longshore_rates', v_board.namespace || ' ' || v_board.version);
  end loop;
end
$$;

create function on_trade_info() returns trigger language plpgsql security definer set search_path = longshore, pg_temp as $$
begin
  perform touch_rates(array(select distinct namespace from changed));
  return null;
end
$$;
create trigger trade_info_inserted after insert on trade_info referencing new table as changed
  for each statement execute function on_trade_info();
create trigger trade_info_updated after update on trade_info referencing new table as changed
  for each statement execute function on_trade_info();
create trigger trade_info_deleted after delete on trade_info referencing old table as changed
  for each statement execute function on_trade_info();

-- Partitions of the history by day (UTC): makes those of the coming three days, drops those that ended more than `p_days` ago.
-- One that cannot be had at once is left for the next round.
create function keep_rate_history(p_days integer) returns table (made integer, dropped integer) language plpgsql as $$
declare
  v_today timestamp := date_trunc('day', now() at time zone 'UTC');
  v_day timestamp;
  v_name text;
begin
  made := 0; dropped := 0;
  set local lock_timeout = '500ms';
  perform pg_advisory_xact_lock(hashtext('longshore.rate-history'));
  for v_day in select generate_series(v_today, v_today + interval '3 days', interval '1 day') loop
    v_name := 'rate_history_' || to_char(v_day, 'YYYYMMDD');
    continue when to_regclass('longshore.' || v_name) is not null;
    begin
      execute format('create table longshore.%I partition of longshore.rate_history for values from (%L) to (%L)',
        v_name, v_day at time zone 'UTC', (v_day + interval '1 day') at time zone 'UTC');
      made := made + 1;
    exception when check_violation or lock_not_available or deadlock_detected then
      null; -- rows of the day are in the default partition, or it is in use
    end;
  end loop;
  for v_name in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'longshore.rate_history'::regclass and c.relname ~ '^rate_history_\d{8}$'
      and to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= v_today - make_interval(days => p_days)
  loop
    begin
      execute format('drop table longshore.%I', v_name);
      dropped := dropped + 1;
    exception when lock_not_available or deadlock_detected then
      null;
    end;
  end loop;
  delete from rate_history_default where at < now() - make_interval(days => p_days);
  return next;
end
$$;
select keep_rate_history(2);

-- A live round of this pool: the job's namespace, provider and time. Locked, so that what is written under the lease is
-- written while it is current.
create function require_round(p_secret text, p_job uuid, p_lease bigint)
returns table (namespace text, provider text, round_at timestamptz) language plpgsql as $$
declare
  v_pool pools := pool_of(p_secret);
begin
  return query select j.namespace, j.input->>'provider', j.accepted_at from jobs j
    where j.id = p_job and j.lease = p_lease and j.lease_until is not null and j.type = 'exchange-rate'
      and j.namespace || '' = v_pool.namespace and j.type = any (v_pool.types) for update;
  if not found then
    raise exception 'the lease is not current' using errcode = '55000';
  end if;
end
$$;

-- Whether a round is another one than `p_last`, for a pair that is due each `p_seconds`: time is cut into slots of that length,
-- so that a round which came a little late does not put off the next.
create function is_due(p_round timestamptz, p_last timestamptz, p_seconds integer) returns boolean language sql immutable as $$
  select p_last is null or floor(extract(epoch from p_round) / p_seconds) > floor(extract(epoch from p_last) / p_seconds)
$$;

-- The pairs that a round has to ask its provider for: those that are due and were not dealt with in it. Answers
-- [{id, base, quote, symbol}].
create function take_round(p_secret text, p_job uuid, p_lease bigint, p_payload jsonb) returns jsonb
language plpgsql security definer set search_path = longshore, pg_temp as $$
#variable_conflict use_column
begin
  return coalesce((select jsonb_agg(jsonb_build_object('id', d.id, 'base', d.base, 'quote', d.quote, 'symbol', d.provider_symbol) order by d.id) from (
    select t.id, t.base, t.quote, t.provider_symbol
    from require_round(p_secret, p_job, p_lease) r
    join trade_info t on t.namespace = r.namespace and t.provider = r.provider and t.enabled
    left join current_rates c on c.trade_id = t.id
    where is_due(r.round_at, c.round_at, t.interval_seconds) and (c.retry_at is null or c.retry_at <= clock_timestamp())
    order by t.id limit 10000) d), '[]');
end
$$;

-- Keeps what a provider said, each pair once a round, however often it is handed in. The payload: [{id, price, ageMs}] or [{id, error}].
-- The time of a price is the database's clock less its age: clocks of workers do not count. Answers how many were kept.
create function commit_round(p_secret text, p_job uuid, p_lease bigint, p_payload jsonb) returns jsonb
language plpgsql security definer set search_path = longshore, pg_temp as $$
#variable_conflict use_column
declare
  v_round record;
  v_now timestamptz;
  v_count integer;
begin
  select * into v_round from require_round(p_secret, p_job, p_lease);
  -- Two rounds of one provider take their turn; the statement after this one sees what the earlier wrote.
  perform from trade_info t where t.id in (select (i->>'id')::bigint from jsonb_array_elements(p_payload) i)
    and t.namespace = v_round.namespace and t.provider = v_round.provider order by t.id for no key update;
  v_now := clock_timestamp();
  with item as materialized (
    select t.id, t.interval_seconds, i.price, i.error, c.at as last_at,
      v_now - make_interval(secs => least(greatest(coalesce(i."ageMs", 0), 0), 315360000000) / 1000) as at
    from jsonb_to_recordset(p_payload) as i(id bigint, price numeric, "ageMs" double precision, error text)
    join trade_info t on t.id = i.id and t.namespace = v_round.namespace and t.provider = v_round.provider
    left join current_rates c on c.trade_id = t.id
    where is_due(v_round.round_at, c.round_at, t.interval_seconds)
  ), fresh as materialized (
    select id, price, at from item where price is not null and (last_at is null or at > last_at)
  ), kept as (
    insert into current_rates as c (trade_id, price, at, round_at, error, failures, retry_at)
    select id, price, case when price is not null then at end, v_round.round_at, error,
      case when error is null then 0 else 1 end,
      case when error is not null then v_now + make_interval(secs => least(3600, interval_seconds * 2)) end
    from item
    on conflict (trade_id) do update set
      price = case when excluded.at > c.at or c.at is null then excluded.price else c.price end,
      at = greatest(c.at, excluded.at), round_at = excluded.round_at, error = excluded.error,
      failures = case when excluded.error is null then 0 else c.failures + 1 end,
      -- A pair that fails is asked for ever more rarely, an hour apart at most.
      retry_at = case when excluded.error is not null then v_now + make_interval(secs => least(3600,
        (select interval_seconds from item where item.id = c.trade_id) * power(2, least(c.failures + 1, 12)))) end
    returning 1
  ), history as (
    insert into rate_history (trade_id, at, price) select id, at, price from fresh on conflict do nothing
  ), bars as (
    insert into rate_bars as b (trade_id, step, at, open, high, low, close, samples)
    select f.id, s.step, date_trunc(s.unit, f.at, 'UTC'), f.price, f.price, f.price, f.price, 1
    from fresh f cross join (values ('1m', 'minute'), ('1h', 'hour'), ('1d', 'day')) as s(step, unit)
    on conflict (trade_id, step, at) do update set high = greatest(b.high, excluded.high), low = least(b.low, excluded.low),
      close = excluded.close, samples = b.samples + 1
  )
  select count(*) into v_count from kept;
  if v_count > 0 then perform touch_rates(array[v_round.namespace]); end if;
  return to_jsonb(v_count);
end
$$;

-- A schedule that a shipped type keeps for itself: neither REST nor a resource may change it.
alter table schedules add column kept_by text;

-- A provider's month (UTC), and calls that weigh more than one.
alter table budgets
  add column per_month integer not null default 0,
  add column month date not null default '-infinity',
  add column used_month integer not null default 0;

-- take_budget with weights and a month. A call of weight w is w calls to every limit.
create function spend_budget(p_secret text, p_name text, p_per_second double precision, p_per_day integer, p_per_month integer,
  p_weight integer, p_max_wait_ms integer)
returns table (granted boolean, wait_ms double precision)
language plpgsql security definer set search_path = longshore, pg_temp as $$
declare
  v_at timestamptz;
  v_today date;
  v_month date;
  v_go timestamptz;
  v_weight integer := greatest(1, p_weight);
  v_budget budgets;
begin
  perform pool_of(p_secret);
  insert into budgets (name) values (p_name) on conflict do nothing;
  select * into v_budget from budgets where name = p_name for update;
  v_at := clock_timestamp();
  v_today := (v_at at time zone 'UTC')::date;
  v_month := date_trunc('month', v_today)::date;
  if v_budget.day <> v_today then v_budget.used := 0; end if;
  if v_budget.month <> v_month then v_budget.used_month := 0; end if;
  v_go := greatest(v_at, v_budget.next_at, v_budget.banned_until);
  if p_per_day > 0 and v_budget.used + v_weight > p_per_day then
    v_go := greatest(v_go, (v_today + 1)::timestamp at time zone 'UTC');
  end if;
  if p_per_month > 0 and v_budget.used_month + v_weight > p_per_month then
    v_go := greatest(v_go, (v_month + interval '1 month') at time zone 'UTC');
  end if;
  wait_ms := extract(epoch from v_go - v_at) * 1000;
  granted := wait_ms <= p_max_wait_ms;
  if granted then
    update budgets set day = v_today, used = v_budget.used + v_weight, month = v_month, used_month = v_budget.used_month + v_weight,
      per_second = p_per_second, per_day = p_per_day, per_month = p_per_month,
      next_at = case when p_per_second > 0 then v_go + make_interval(secs => 1.05 * v_weight / p_per_second) else '-infinity' end
    where name = p_name;
  end if;
  return next;
end
$$;

-- For workers of before.
create or replace function take_budget(p_secret text, p_name text, p_per_second double precision, p_per_day integer, p_max_wait_ms integer)
returns table (granted boolean, wait_ms double precision)
language sql security definer set search_path = longshore, pg_temp as $$
  select * from spend_budget(p_secret, p_name, p_per_second, p_per_day, 0, 1, p_max_wait_ms)
$$;

-- A provider has banned our address: longer than pause_budget allows anybody, so only a live round may say so, and of its own
-- provider. The payload: milliseconds, four days at most.
create function ban_round_provider(p_secret text, p_job uuid, p_lease bigint, p_payload jsonb) returns jsonb
language plpgsql security definer set search_path = longshore, pg_temp as $$
declare
  v_until timestamptz := clock_timestamp() + make_interval(secs => least(greatest(p_payload::double precision, 0), 345600000) / 1000);
begin
  insert into budgets as b (name, banned_until) select r.provider, v_until from require_round(p_secret, p_job, p_lease) r
  on conflict (name) do update set banned_until = greatest(b.banned_until, excluded.banned_until);
  return null;
end
$$;

grant execute on function
  spend_budget(text, text, double precision, integer, integer, integer, integer),
  take_round(text, uuid, bigint, jsonb),
  commit_round(text, uuid, bigint, jsonb),
  ban_round_provider(text, uuid, bigint, jsonb)
to longshore_worker;
