-- The transitions of a job, each in one place. Nothing else changes `jobs.status`.

set local search_path = longshore, public;

-- Tells listeners which jobs changed (≤ 200 ids a notification), after the commit.
create function notify_changes(p_ids uuid[]) returns void language plpgsql as $$
begin
  for v_start in 1 .. coalesce(array_length(p_ids, 1), 0) by 200 loop
    perform pg_notify('longshore_changes', array_to_string(p_ids[v_start : v_start + 199], ','));
  end loop;
end
$$;

create function notify_work() returns void language sql as $$ select pg_notify('longshore_work', '') $$;

create function add_event(p_job uuid, p_seq bigint, p_type text, p_data jsonb) returns void language sql as $$
  insert into events (job_id, seq, type, data) values (p_job, p_seq, p_type, p_data)
$$;

-- What becomes of a job whose delivery, or whose waiting, ends. `fate` is a final status (SUCCESS, ERROR, CANCELLED), or how
-- it goes on: 'retrying' (charged to the allowance), 'reopened' (handed back), 'interrupted' (its lease ran out). `outcome` is
-- that of the delivery which ends; null when there is none.
create type settlement as (
  job_id uuid, fate text, outcome text, result jsonb, error jsonb, delay_ms double precision, blobs jsonb
);

-- Settles jobs whose rows the caller has locked: the only way out of a lease, and the only way into SUCCESS, ERROR and
-- CANCELLED. A job that waits longer than a minute gives its place in the window back, unless a QueueJob shows it.
create function settle_jobs(p_settlements settlement[]) returns void language plpgsql
-- A plan for each length of the array costs several times its execution.
set plan_cache_mode = force_generic_plan
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
begin
  with s as materialized (
    select u.*, u.fate in ('SUCCESS', 'ERROR', 'CANCELLED') as final, coalesce(u.delay_ms, 0) as wait_ms
    from unnest(p_settlements) u
  ), before as materialized (
    select j.id, j.lease, j.attempt, j.worker, j.attempt_started_at, j.namespace, j.webhook_url, j.version, s.*,
      s.wait_ms > 60000 and not j.projected and not s.final as leaves
    from s cross join lateral (select * from jobs where jobs.id = s.job_id) j
  ), settled as (
    update jobs j set
      status = case when b.final then b.fate else 'PROCESS' end,
      result = case when b.fate = 'SUCCESS' then b.result end,
      error = case when b.fate in ('ERROR', 'retrying') then b.error when b.final then null else j.error end,
      progress = case when b.fate = 'SUCCESS' then null else j.progress end,
      finished_at = case when b.final then now() end,
      lease_until = null,
      dispatched_at = null,
      queued_at = case when b.final then j.queued_at end,
      run_at = case when b.final then j.run_at else now() + make_interval(secs => b.wait_ms / 1000) end,
      attempt = j.attempt + (b.fate = 'retrying')::integer,
      failures = j.failures + (b.fate = 'retrying')::integer,
      interruptions = j.interruptions + (b.fate = 'interrupted')::integer,
      admitted_at = case when b.leaves then null else j.admitted_at end,
      in_window = case when b.final then j.projected else j.in_window and not b.leaves end,
      delayed = b.leaves,
      version = j.version + 1
    from before b where j.id = b.job_id
    returning j.id, j.version, j.run_at, b.fate, b.error, b.wait_ms, b.attempt
  ), logged as (
    insert into events (job_id, seq, type, data)
    select t.id, t.version,
      case t.fate when 'SUCCESS' then 'succeeded' when 'ERROR' then 'failed' when 'CANCELLED' then 'cancelled'
        when 'retrying' then 'retrying' else 'interrupted' end,
      nullif(jsonb_strip_nulls(jsonb_build_object('error', t.error, 'attempt', t.attempt,
        'runAt', case when t.wait_ms > 0 then to_jsonb(t.run_at) end)), '{}')
    from settled t
  ), delivered as (
    insert into attempts (job_id, lease, attempt, outcome, worker, error, started_at)
    select b.id, b.lease, b.attempt, b.outcome, b.worker, b.error, b.attempt_started_at from before b where b.outcome is not null
  ), called as (
    insert into webhooks (job_id, namespace, url, event_seq)
    select b.id, b.namespace, b.webhook_url, b.version + 1 from before b where b.final and b.webhook_url is not null
  )
  insert into job_blobs (job_id, n, role, blob_id, name, media_type)
  select b.id, r.n, 'result', (r.blob->>'blobId')::uuid, r.blob->>'name', r.blob->>'mediaType'
  from before b, jsonb_array_elements(b.blobs) with ordinality as r(blob, n)
  where b.fate = 'SUCCESS'
    and exists (select from blobs where blobs.id = (r.blob->>'blobId')::uuid and blobs.namespace = b.namespace)
  -- A job that failed after a success cannot be: SUCCESS is final. This is for a result that is written twice.
  on conflict do nothing;
  perform notify_changes(array(select u.job_id from unnest(p_settlements) u));
end
$$;

-- Accepts jobs, all in one transaction. Items: see src/ledger/accept.ts. An item whose key is taken is not inserted: the
-- answer then names the job that holds the key, and whether it stands for the same body.
create function accept_jobs(p_items jsonb) returns table (item_id uuid, job_id uuid, outcome text)
language plpgsql as $$
#variable_conflict use_column
declare
  v_taken uuid[] := '{}';
  v_labelled boolean := p_items @? '$[*].labels.*';
  v_with_blobs boolean := p_items @? '$[*].blobs[*]';
  v_keyed boolean := p_items @? '$[*].key ? (@ != null)';
  v_key record;
  v_held unique_keys;
  v_status text;
begin
  -- Keys in one order everywhere, so that two batches never wait for each other.
  if v_keyed then
    for v_key in
      select i.id, i.namespace, i.scope, i.key, i.body_sha256, i.key_ttl
      from jsonb_to_recordset(p_items) as i(id uuid, namespace text, scope text, key text, body_sha256 text, key_ttl integer)
      where i.key is not null order by i.namespace, i.scope, i.key, i.id
    loop
      insert into unique_keys as k (namespace, scope, key, job_id, body_sha256, expires_at)
      values (v_key.namespace, v_key.scope, v_key.key, v_key.id, v_key.body_sha256, now() + make_interval(secs => v_key.key_ttl))
      on conflict (namespace, scope, key) do update
        set job_id = excluded.job_id, body_sha256 = excluded.body_sha256, expires_at = excluded.expires_at
        where k.expires_at < now();
      if found then continue; end if;
      select * into v_held from unique_keys k
        where k.namespace = v_key.namespace and k.scope = v_key.scope and k.key = v_key.key for update;
      if v_held.job_id = v_key.id then continue; end if;
      -- The holder may be an item of this very call, which is not in `jobs` yet.
      if v_key.scope = 'contract' and not p_items @> jsonb_build_array(jsonb_build_object('id', v_held.job_id)) then
        select j.status into v_status from jobs j where j.id = v_held.job_id;
        if v_status is null or v_status in ('ERROR', 'CANCELLED') then
          update unique_keys k set job_id = v_key.id, expires_at = now() + make_interval(secs => v_key.key_ttl)
            where k.namespace = v_key.namespace and k.scope = v_key.scope and k.key = v_key.key;
          continue;
        end if;
      end if;
      v_taken := v_taken || v_key.id;
      item_id := v_key.id;
      job_id := v_held.job_id;
      outcome := case when v_held.body_sha256 = v_key.body_sha256 then 'existing' else 'conflict' end;
      return next;
    end loop;
  end if;

  return query
    with item as (
      select * from jsonb_to_recordset(p_items) as i(
        id uuid, namespace text, type text, priority smallint, labels jsonb, input jsonb, timeout_seconds integer,
        retries integer, backoff_base_ms integer, backoff_max_ms integer, ttl_seconds integer, webhook_url text,
        traceparent text, resource_namespace text, resource_name text, resource_uid text, run_at timestamptz,
        suspended boolean, projected boolean)
      where not (i.id = any (v_taken))
    ), inserted as (
      insert into jobs (id, namespace, type, priority, labels, input, timeout_seconds, retries, backoff_base_ms,
        backoff_max_ms, ttl_seconds, webhook_url, traceparent, resource_namespace, resource_name, resource_uid, run_at,
        delayed, suspended, projected, in_window)
      select id, namespace, type, priority, labels, input, timeout_seconds, retries, backoff_base_ms, backoff_max_ms,
        ttl_seconds, webhook_url, traceparent, resource_namespace, resource_name, resource_uid, coalesce(run_at, now()),
        coalesce(run_at > now(), false), suspended, projected, projected
      from item order by id
      on conflict do nothing
      returning jobs.id
    ), logged as (
      insert into events (job_id, seq, type) select id, 1, 'accepted' from inserted
    )
    select id, id, 'created' from inserted;

  if v_labelled then
    insert into job_labels (namespace, key, value, job_id)
      select i.namespace, l.key, l.value, i.id
      from jsonb_to_recordset(p_items) as i(id uuid, namespace text, labels jsonb), jsonb_each_text(i.labels) l
      where not (i.id = any (v_taken)) on conflict do nothing;
  end if;
  if v_with_blobs then
    insert into job_blobs (job_id, n, role, blob_id, name, media_type)
      select i.id, b.n, b.blob->>'role', (b.blob->>'blobId')::uuid, b.blob->>'name', b.blob->>'mediaType'
      from jsonb_to_recordset(p_items) as i(id uuid, blobs jsonb), jsonb_array_elements(i.blobs) with ordinality as b(blob, n)
      where not (i.id = any (v_taken)) on conflict do nothing;
  end if;
  perform notify_work();
end
$$;

-- Cancels: a waiting job at once, a running one by its worker's next renewal.
create function cancel_jobs(p_namespace text, p_ids uuid[]) returns table (job_id uuid, outcome text) language plpgsql as $$
declare
  v_job jobs;
  v_changed uuid[] := '{}';
begin
  for job_id in select distinct unnest(p_ids) order by 1 loop
    select * into v_job from jobs j where j.id = job_id and j.namespace || '' = p_namespace for update;
    if v_job.id is null then
      outcome := 'missing';
    elsif v_job.finished_at is not null then
      outcome := 'finished';
    elsif v_job.lease_until is null then
      perform settle_jobs(array[row(job_id, 'CANCELLED', null, null, null, null, null)::settlement]);
      outcome := 'cancelled';
    else
      if v_job.cancel_requested_at is null then
        update jobs set cancel_requested_at = now(), version = version + 1 where id = job_id;
        perform add_event(job_id, v_job.version + 1, 'cancelling', null);
        v_changed := v_changed || job_id;
      end if;
      outcome := 'requested';
    end if;
    return next;
  end loop;
  perform notify_changes(v_changed);
  perform notify_work();
end
$$;

-- Opens a further attempt, with a fresh allowance, of a job that failed or was cancelled.
create function retry_jobs(p_namespace text, p_ids uuid[]) returns table (job_id uuid, outcome text) language plpgsql as $$
declare
  v_job jobs;
  v_changed uuid[] := '{}';
begin
  for job_id in select distinct unnest(p_ids) order by 1 loop
    select * into v_job from jobs j where j.id = job_id and j.namespace || '' = p_namespace for update;
    if v_job.id is null then
      outcome := 'missing';
    elsif v_job.status = 'SUCCESS' then
      outcome := 'succeeded';
    elsif v_job.finished_at is null then
      outcome := 'unfinished';
    else
      update jobs set status = 'CREATED', attempt = attempt + 1, failures = 0, interruptions = 0, run_at = now(),
        delayed = false, cancel_requested_at = null, finished_at = null, error = null, progress = null,
        admitted_at = null, dispatched_at = null, queued_at = null, version = version + 1
      where id = job_id;
      perform add_event(job_id, v_job.version + 1, 'retried', jsonb_build_object('attempt', v_job.attempt + 1));
      v_changed := v_changed || job_id;
      outcome := 'retried';
    end if;
    return next;
  end loop;
  perform notify_changes(v_changed);
  perform notify_work();
end
$$;

create function suspend_job(p_id uuid, p_suspended boolean) returns boolean language plpgsql as $$
declare
  v_job jobs;
begin
  select * into v_job from jobs where id = p_id for update;
  if v_job.id is null or v_job.finished_at is not null or v_job.suspended = p_suspended then return false; end if;
  update jobs set suspended = p_suspended, version = version + 1,
    dispatched_at = case when lease_until is null then null else dispatched_at end
  where id = p_id;
  perform add_event(p_id, v_job.version + 1, case when p_suspended then 'suspended' else 'resumed' end, null);
  perform notify_changes(array[p_id]);
  perform notify_work();
  return true;
end
$$;

-- Ends or reopens jobs whose lease ran out. Level-based: any replica may call it at any time, two at once share the work.
-- A lease further ahead than one lease is the trace of a clock that was set back, and is clamped.
create function recover_leases(p_lease_seconds integer, p_max_interruptions integer, p_limit integer)
returns table (job_id uuid, outcome text) language plpgsql as $$
#variable_conflict use_column
declare
  v_settlements settlement[];
begin
  update jobs set lease_until = now() + make_interval(secs => p_lease_seconds)
  where lease_until > now() + make_interval(secs => p_lease_seconds + 1);
  select array_agg(row(x.id,
    case when x.cancel_requested_at is not null then 'CANCELLED'
      when x.interruptions + 1 >= p_max_interruptions then 'ERROR' else 'interrupted' end,
    'expired', null,
    case when x.cancel_requested_at is null and x.interruptions + 1 >= p_max_interruptions then jsonb_build_object(
        'code', 'TooManyInterruptions', 'retryable', false, 'message',
        format('The job was interrupted %s times without progress: it may be what stops its workers', x.interruptions + 1))
      else jsonb_build_object('code', 'LeaseExpired', 'retryable', true, 'message', 'The worker stopped renewing its lease') end,
    0, null)::settlement)
  into v_settlements
  from (select id, cancel_requested_at, interruptions from jobs where lease_until < now()
    order by lease_until limit p_limit for update skip locked) x;
  if v_settlements is null then return; end if;
  perform settle_jobs(v_settlements);
  perform notify_work();
  return query select s.job_id,
    case s.fate when 'CANCELLED' then 'cancelled' when 'ERROR' then 'failed' else 'reopened' end
  from unnest(v_settlements) s;
end
$$;
