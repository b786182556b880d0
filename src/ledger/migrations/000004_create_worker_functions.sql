-- All that a worker may do. Each function takes the pool's secret and serves that pool's namespace and types alone: one
-- tenant's image cannot take another's job, although both log in as members of the same role.

set local search_path = longshore, public;

create function pool_of(p_secret text) returns pools language plpgsql stable as $$
declare
  v_pool pools;
begin
  select * into v_pool from pools where secret_sha256 = sha256(convert_to(p_secret, 'UTF8'));
  if v_pool.name is null then
    raise exception 'unknown pool secret' using errcode = '28000';
  end if;
  return v_pool;
end
$$;

-- How many of `p_wanted` starts of a type its limits allow now, and how far apart the others are to come. Locks the type's
-- row, if it has limits: starts of it take their turn.
create function take_starts(p_namespace text, p_type text, p_wanted integer)
returns table (granted integer, wait_ms double precision, spacing_ms double precision) language plpgsql as $$
declare
  v_type job_types;
  v_at timestamptz := clock_timestamp();
begin
  granted := p_wanted; wait_ms := 0; spacing_ms := 0;
  select * into v_type from job_types t
  where t.name = p_type and t.namespace in (p_namespace, '') and (t.paused or t.max_running is not null or t.rate_count is not null)
  order by t.namespace desc limit 1 for update;
  if v_type.name is null then return next; return; end if;
  if v_type.paused then granted := 0; wait_ms := 1000; return next; return; end if;
  if v_type.max_running is not null then
    granted := greatest(0, least(granted, v_type.max_running - (select count(*)::integer from jobs j
      where j.namespace = p_namespace and j.type = p_type and j.lease_until is not null)));
    wait_ms := 500;
  end if;
  if v_type.rate_count is not null and granted > 0 then
    -- Evenly spaced, so that no window of that length sees more than the rate allows.
    spacing_ms := 1000.0 * v_type.rate_per_seconds / v_type.rate_count;
    wait_ms := greatest(0, extract(epoch from v_type.next_start_at - v_at) * 1000);
    granted := case when wait_ms > 0 then 0 else 1 end;
    if granted = 1 then
      wait_ms := spacing_ms;
      update job_types t set next_start_at = v_at + make_interval(secs => spacing_ms / 1000)
        where t.namespace = v_type.namespace and t.name = v_type.name;
    end if;
  end if;
  return next;
end
$$;

-- Claims jobs. Items: [{id, lease, again?}], `lease` as the queue entry carries it: the number before this delivery. A
-- verdict other than 'claimed', or no row, means that the entry is to be dropped. `again` says that the answer to this very
-- claim was lost: if it had been granted, it is granted once more, with the same lease.
create function claim_jobs(p_secret text, p_worker text, p_lease_seconds integer, p_items jsonb)
returns table (job_id uuid, verdict text, lease bigint, attempt integer, namespace text, type text, input jsonb,
  timeout_seconds integer, labels jsonb, traceparent text, blobs jsonb, interruptions integer,
  accepted_at timestamptz, admitted_at timestamptz, queued_at timestamptz, started_at timestamptz)
language plpgsql security definer set search_path = longshore, pg_temp
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
  v_pool pools := pool_of(p_secret);
begin
  return query
  with item as materialized (
    select (i->>'id')::uuid as id, (i->>'lease')::bigint as lease, coalesce((i->>'again')::boolean, false) as again
    from jsonb_array_elements(p_items) i order by 1
  ), held as materialized (
    select j.*, item.lease as expected,
      item.again and j.lease = item.lease + 1 and j.lease_until is not null and j.worker = p_worker as regrant
    from item cross join lateral (select jobs.id, jobs.namespace, jobs.type, jobs.priority, jobs.lease, jobs.lease_until, jobs.worker,
      jobs.finished_at, jobs.suspended, jobs.run_at from jobs
      where jobs.id = item.id and jobs.namespace || '' = v_pool.namespace and jobs.type = any (v_pool.types) for update) j
  ), judged as materialized (
    select h.*, case
      when h.regrant then 'claimed'
      when h.finished_at is not null then 'finished'
      when h.lease <> h.expected then 'stale'
      when h.lease_until is not null then 'leased'
      when h.suspended then 'suspended'
      when h.run_at > clock_timestamp() + interval '1 second' then 'early'
      else 'claimed' end as verdict
    from held h
  ), starts as materialized (
    select w.type, t.* from (select g.type, count(*)::integer as wanted from judged g where g.verdict = 'claimed' and not g.regrant group by 1) w
    -- A paused pool starts nothing; what pods that are still there were given is put off.
    cross join lateral (select case when v_pool.paused then 0 else s.granted end as granted,
      case when v_pool.paused then 5000 else s.wait_ms end as wait_ms, s.spacing_ms
      from take_starts(v_pool.namespace, w.type, case when v_pool.paused then 0 else w.wanted end) s) t
  ), ranked as materialized (
    select r.*, r.rank <= r.granted or r.regrant as granting from (
      select g.*, s.granted, s.wait_ms, s.spacing_ms,
        row_number() over (partition by g.type, g.regrant order by g.priority desc, g.id) as rank
      from judged g left join starts s on s.type = g.type where g.verdict = 'claimed') r
  ), put_off as (
    update jobs j set dispatched_at = null,
      run_at = clock_timestamp() + make_interval(secs => (r.wait_ms + r.spacing_ms * (r.rank - r.granted - 1)) / 1000)
    from ranked r where j.id = r.id and not r.granting returning j.id
  ), claimed as (
    update jobs j set status = 'PROCESS', lease = r.expected + 1,
      lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds), worker = p_worker,
      queued_at = coalesce(j.queued_at, j.dispatched_at), started_at = coalesce(j.started_at, clock_timestamp()),
      attempt_started_at = case when r.regrant then j.attempt_started_at else clock_timestamp() end,
      version = j.version + (not r.regrant)::integer
    from ranked r where j.id = r.id and r.granting
    returning j.id, j.lease, j.attempt, j.namespace, j.type, j.input, j.timeout_seconds, j.labels, j.traceparent,
      j.interruptions, j.accepted_at, j.admitted_at, j.queued_at, j.attempt_started_at, j.version, r.regrant
  ), logged as (
    insert into events (job_id, seq, type, data)
    select c.id, c.version, 'started', jsonb_build_object('attempt', c.attempt, 'lease', c.lease, 'worker', p_worker)
    from claimed c where not c.regrant
  ), told as materialized (
    select notify_changes(array(select c.id from claimed c))
  )
  select c.id, 'claimed', c.lease, c.attempt, c.namespace, c.type, c.input, c.timeout_seconds, coalesce(c.labels, '{}'), c.traceparent,
    (select jsonb_agg(jsonb_build_object('blobId', b.blob_id, 'name', b.name, 'mediaType', b.media_type,
        'bytes', s.bytes, 'sha256', s.sha256) order by b.n)
      from job_blobs b join blobs s on s.id = b.blob_id where b.job_id = c.id and b.role = 'input'),
    c.interruptions, c.accepted_at, c.admitted_at, c.queued_at, c.attempt_started_at
  from claimed c cross join told
  union all
  select g.id, case when g.verdict = 'claimed' then 'limited' else g.verdict end, null, null, null, null, null, null, null, null, null,
    null, null, null, null, null
  from judged g where not exists (select from ranked r where r.id = g.id and r.granting);
end
$$;

-- Renews leases, takes progress, tells of cancellations. Items: [{id, lease, progress?}]. Also keeps the worker's session:
-- a type is served while a session for it is fresh.
create function renew_leases(p_secret text, p_worker text, p_lease_seconds integer, p_types text[], p_concurrency integer, p_items jsonb)
returns table (job_id uuid, verdict text)
language plpgsql security definer set search_path = longshore, pg_temp as $$
#variable_conflict use_column
declare
  v_pool pools := pool_of(p_secret);
  v_job jobs;
  v_item record;
  v_new boolean;
  v_changed uuid[] := '{}';
begin
  insert into worker_sessions as w (id, namespace, pool, types, concurrency)
  values (p_worker, v_pool.namespace, v_pool.name, (select coalesce(array_agg(t), '{}') from unnest(p_types) t where t = any (v_pool.types)), p_concurrency)
  on conflict (id) do update set seen_at = now(), types = excluded.types, concurrency = excluded.concurrency
    where w.namespace = excluded.namespace and w.pool = excluded.pool
    returning xmax = 0 into v_new;
  if v_new then perform notify_work(); end if; -- its types are served from now on
  for v_item in
    select (i->>'id')::uuid as id, (i->>'lease')::bigint as lease, i->'progress' as progress from jsonb_array_elements(p_items) i order by 1
  loop
    job_id := v_item.id;
    select * into v_job from jobs j where j.id = v_item.id and j.lease = v_item.lease and j.lease_until is not null
      and j.namespace || '' = v_pool.namespace and j.type = any (v_pool.types) for update;
    if v_job.id is null then
      verdict := 'lost';
    else
      if v_item.progress is null then
        update jobs j set lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds) where j.id = v_job.id;
      else
        update jobs j set lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds), progress = v_item.progress,
          interruptions = 0, version = v_job.version + 1 where j.id = v_job.id;
        perform add_event(v_job.id, v_job.version + 1, 'progress', v_item.progress);
        v_changed := v_changed || v_job.id;
      end if;
      verdict := case when v_job.cancel_requested_at is not null then 'cancel' else 'renewed' end;
    end if;
    return next;
  end loop;
  perform notify_changes(v_changed);
end
$$;

create function end_session(p_secret text, p_worker text) returns void
language plpgsql security definer set search_path = longshore, pg_temp as $$
declare
  v_pool pools := pool_of(p_secret);
begin
  delete from worker_sessions where id = p_worker and namespace = v_pool.namespace and pool = v_pool.name;
end
$$;

-- Commits what became of deliveries, only under their current lease. Items: [{id, lease, outcome, result?, error?, delayMs?, blobs?}]
-- with outcome succeeded, failed, cancelled or handed_back. `delayMs` is the back-off, or how long a job handed back waits.
-- The verdict is 'fenced' when the lease is not current any more; nothing of the item is kept then.
create function commit_jobs(p_secret text, p_items jsonb) returns table (job_id uuid, verdict text, status text)
language plpgsql security definer set search_path = longshore, pg_temp
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
  v_pool pools := pool_of(p_secret);
  v_settlements settlement[];
begin
  select array_agg(row(d.id,
    case
      when d.cancelling and d.outcome <> 'failed' or d.outcome = 'cancelled' then 'CANCELLED'
      when d.outcome = 'succeeded' then 'SUCCESS'
      when d.outcome = 'handed_back' then 'reopened'
      when d.cancelling then 'CANCELLED'
      when (d.error->>'retryable')::boolean and d.failures < d.retries then 'retrying'
      else 'ERROR' end,
    case when d.cancelling and d.outcome <> 'failed' then 'cancelled' else d.outcome end,
    d.result, d.error,
    case when d.outcome = 'failed' and d.delay_ms = 0 then backoff_ms(d.backoff_base_ms, d.backoff_max_ms, d.failures + 1) else d.delay_ms end,
    d.blobs)::settlement)
  into v_settlements
  from (
    select j.*, j.cancel_requested_at is not null as cancelling, i.outcome, i.result, i.error, coalesce(i."delayMs", 0) as delay_ms, i.blobs
    from (select * from jsonb_to_recordset(p_items) as r(id uuid, lease bigint, outcome text, result jsonb, error jsonb,
      "delayMs" double precision, blobs jsonb) order by r.id) i
    cross join lateral (select jobs.id, jobs.failures, jobs.retries, jobs.cancel_requested_at, jobs.backoff_base_ms, jobs.backoff_max_ms
      from jobs where jobs.id = i.id and jobs.lease = i.lease and jobs.lease_until is not null
        and jobs.namespace || '' = v_pool.namespace and jobs.type = any (v_pool.types) for update) j
  ) d;
  if v_settlements is not null then
    perform settle_jobs(v_settlements);
    perform notify_work();
  end if;
  return query
    with settled as materialized (select u.job_id, u.fate from unnest(v_settlements) u)
    select i.id,
      case when s.job_id is not null or a.outcome = i.outcome then 'committed' else 'fenced' end,
      case when s.job_id is null then j.status when s.fate in ('SUCCESS', 'ERROR', 'CANCELLED') then s.fate else 'PROCESS' end
    from jsonb_to_recordset(p_items) as i(id uuid, lease bigint, outcome text)
    left join settled s on s.job_id = i.id
    -- The answer to an earlier call with the same outcome may have been lost: say what became of it. Without the limits the
    -- planner takes these for joins of whole tables.
    left join lateral (select jobs.status from jobs
      where s.job_id is null and jobs.id = i.id and jobs.namespace || '' = v_pool.namespace limit 1) j on true
    left join lateral (select attempts.outcome from attempts
      where s.job_id is null and j.status is not null and attempts.job_id = i.id and attempts.lease = i.lease limit 1) a on true;
end
$$;

-- The wait before attempt `p_failures + 1`: exponential, half of it random. The same function as src/core/backoff.ts.
create function backoff_ms(p_base_ms integer, p_max_ms integer, p_failures integer) returns double precision language sql volatile as $$
  select ceiling / 2 + ceiling / 2 * random() from (select least(p_max_ms, p_base_ms * power(2, least(30, p_failures - 1))) as ceiling) c
$$;

-- A provider's budget: when may the next call go? Waits of up to `p_max_wait_ms` are reserved (granted, wait_ms); longer ones
-- are only told. Calls are spaced evenly with 5 % to spare, so that no window of a second or a day sees more than the limit.
create function take_budget(p_secret text, p_name text, p_per_second double precision, p_per_day integer, p_max_wait_ms integer)
returns table (granted boolean, wait_ms double precision)
language plpgsql security definer set search_path = longshore, pg_temp as $$
declare
  v_at timestamptz := clock_timestamp();
  v_today date := (clock_timestamp() at time zone 'UTC')::date;
  v_go timestamptz;
  v_budget budgets;
begin
  perform pool_of(p_secret);
  insert into budgets (name) values (p_name) on conflict do nothing;
  select * into v_budget from budgets where name = p_name for update;
  v_at := clock_timestamp();
  if v_budget.day <> v_today then v_budget.used := 0; end if;
  v_go := greatest(v_at, v_budget.next_at, v_budget.banned_until);
  if p_per_day > 0 and v_budget.used >= p_per_day then
    v_go := greatest(v_go, ((v_today + 1)::timestamp at time zone 'UTC'));
  end if;
  wait_ms := extract(epoch from v_go - v_at) * 1000;
  granted := wait_ms <= p_max_wait_ms;
  if granted then
    update budgets set day = v_today, used = v_budget.used + 1, per_second = p_per_second, per_day = p_per_day,
      next_at = case when p_per_second > 0 then v_go + make_interval(secs => 1.05 / p_per_second) else '-infinity' end
    where name = p_name;
  end if;
  return next;
end
$$;

-- The provider itself asks for a pause: no call of anybody's goes before it is over. An hour at most, since it holds for
-- all tenants; a provider that means longer says so again.
create function pause_budget(p_secret text, p_name text, p_ms double precision) returns void
language plpgsql security definer set search_path = longshore, pg_temp as $$
declare
  v_until timestamptz := clock_timestamp() + make_interval(secs => least(greatest(p_ms, 0), 3600000) / 1000);
begin
  perform pool_of(p_secret);
  insert into budgets as b (name, banned_until) values (p_name, v_until)
  on conflict (name) do update set banned_until = greatest(b.banned_until, excluded.banned_until);
end
$$;

-- A live delivery of this pool, or an error: what every blob function asks first.
create function require_lease(p_secret text, p_job uuid, p_lease bigint) returns text language plpgsql stable as $$
declare
  v_pool pools := pool_of(p_secret);
begin
  perform from jobs j where j.id = p_job and j.lease = p_lease and j.lease_until is not null
    and j.namespace || '' = v_pool.namespace and j.type = any (v_pool.types);
  if not found then
    raise exception 'the lease is not current' using errcode = '55000';
  end if;
  return v_pool.namespace;
end
$$;

create function read_blob_chunk(p_secret text, p_job uuid, p_lease bigint, p_blob uuid, p_n integer) returns bytea
language plpgsql stable security definer set search_path = longshore, pg_temp as $$
begin
  perform require_lease(p_secret, p_job, p_lease);
  return (select c.data from blob_chunks c
    where c.blob_id = p_blob and c.n = p_n
      and exists (select from job_blobs b where b.job_id = p_job and b.blob_id = p_blob and b.role = 'input'));
end
$$;

create function write_blob_chunk(p_secret text, p_job uuid, p_lease bigint, p_blob uuid, p_n integer, p_data bytea) returns void
language plpgsql security definer set search_path = longshore, pg_temp as $$
declare
  v_namespace text := require_lease(p_secret, p_job, p_lease);
begin
  insert into blobs (id, namespace) values (p_blob, v_namespace) on conflict do nothing;
  perform from blobs where id = p_blob and namespace = v_namespace and not complete;
  if not found then
    raise exception 'the blob is not open for writing' using errcode = '55000';
  end if;
  insert into blob_chunks (blob_id, n, data) values (p_blob, p_n, p_data) on conflict (blob_id, n) do update set data = excluded.data;
end
$$;

-- Ends the writing of a blob; answers the id under which the content is kept, which may be that of an earlier equal one.
create function complete_blob(p_namespace text, p_blob uuid, p_sha256 text, p_bytes bigint) returns uuid language plpgsql as $$
declare
  v_kept uuid;
begin
  insert into blobs (id, namespace) values (p_blob, p_namespace) on conflict do nothing;
  loop
    begin
      update blobs set sha256 = p_sha256, bytes = p_bytes, complete = true, touched_at = now() where id = p_blob and namespace = p_namespace;
      return p_blob;
    exception when unique_violation then
      update blobs set touched_at = now() where namespace = p_namespace and sha256 = p_sha256 and complete returning id into v_kept;
      if v_kept is not null then
        delete from blobs where id = p_blob;
        return v_kept;
      end if;
      -- The equal one was swept in between: this one takes its place.
    end;
  end loop;
end
$$;

create function finish_blob(p_secret text, p_job uuid, p_lease bigint, p_blob uuid, p_sha256 text, p_bytes bigint) returns uuid
language plpgsql security definer set search_path = longshore, pg_temp as $$
begin
  return complete_blob(require_lease(p_secret, p_job, p_lease), p_blob, p_sha256, p_bytes);
end
$$;

-- The newest migration: a process compares it with the one it was written for.
create function schema_version() returns integer language sql stable security definer set search_path = longshore, pg_temp as $$
  select max((regexp_match(name, '^\d+'))[1]::integer) from pgmigrations
$$;

-- The worker's role: these functions and nothing else. PostgreSQL lets everybody execute a new function unless told.
do $$
begin
  if not exists (select from pg_roles where rolname = 'longshore_worker') then
    create role longshore_worker nologin;
  end if;
exception when duplicate_object or unique_violation then
  null; -- another database of this server was migrated at the same moment
end
$$;
revoke all on all functions in schema longshore from public;
revoke all on all tables in schema longshore from public;
alter default privileges in schema longshore revoke execute on functions from public;
grant usage on schema longshore to longshore_worker;
grant execute on function
  claim_jobs(text, text, integer, jsonb),
  renew_leases(text, text, integer, text[], integer, jsonb),
  end_session(text, text),
  commit_jobs(text, jsonb),
  take_budget(text, text, double precision, integer, integer),
  pause_budget(text, text, double precision),
  read_blob_chunk(text, uuid, bigint, uuid, integer),
  write_blob_chunk(text, uuid, bigint, uuid, integer, bytea),
  finish_blob(text, uuid, bigint, uuid, text, bigint),
  schema_version()
to longshore_worker;
