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

create function add_attempt(p_job jobs, p_outcome text, p_error jsonb) returns void language sql as $$
  insert into attempts (job_id, lease, attempt, outcome, worker, error, started_at)
  values (p_job.id, p_job.lease, p_job.attempt, p_outcome, p_job.worker, p_error, p_job.attempt_started_at)
$$;

-- Ends a job whose row the caller has locked: the only way into SUCCESS, ERROR and CANCELLED.
create function finish_job(p_job jobs, p_status text, p_result jsonb, p_error jsonb) returns void language plpgsql as $$
begin
  update jobs set
    status = p_status, result = p_result, error = p_error, finished_at = now(), lease_until = null,
    dispatched_at = null, delayed = false, in_window = projected, version = version + 1,
    progress = case when p_status = 'SUCCESS' then null else progress end
  where id = p_job.id;
  perform add_event(p_job.id, p_job.version + 1,
    case p_status when 'SUCCESS' then 'succeeded' when 'ERROR' then 'failed' else 'cancelled' end,
    case when p_error is null then null else jsonb_build_object('error', p_error) end);
  if p_job.webhook_url is not null then
    insert into webhooks (job_id, namespace, url, event_seq)
    values (p_job.id, p_job.namespace, p_job.webhook_url, p_job.version + 1);
  end if;
end
$$;

-- Lets a job whose row the caller has locked run again: no lease, not on the queue, due after `p_delay_ms`. A job that
-- waits longer than a minute gives its place in the window back, unless a QueueJob shows it.
create function reopen_job(p_job jobs, p_event text, p_error jsonb, p_delay_ms double precision, p_charge boolean, p_interrupted boolean)
returns void language plpgsql as $$
declare
  v_run_at timestamptz := now() + make_interval(secs => p_delay_ms / 1000);
  v_leaves boolean := p_delay_ms > 60000 and not p_job.projected;
begin
  update jobs set
    lease_until = null, dispatched_at = null, queued_at = null, run_at = v_run_at,
    attempt = attempt + case when p_charge then 1 else 0 end,
    failures = failures + case when p_charge then 1 else 0 end,
    interruptions = interruptions + case when p_interrupted then 1 else 0 end,
    error = coalesce(p_error, error), version = version + 1,
    admitted_at = case when v_leaves then null else admitted_at end,
    in_window = in_window and not v_leaves,
    delayed = v_leaves
  where id = p_job.id;
  perform add_event(p_job.id, p_job.version + 1, p_event, jsonb_strip_nulls(jsonb_build_object(
    'error', p_error, 'attempt', p_job.attempt, 'runAt', case when p_delay_ms > 0 then to_jsonb(v_run_at) end)));
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
      if v_key.scope = 'contract' then
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
    select * into v_job from jobs j where j.id = job_id and j.namespace = p_namespace for update;
    if v_job.id is null then
      outcome := 'missing';
    elsif v_job.finished_at is not null then
      outcome := 'finished';
    elsif v_job.lease_until is null then
      perform finish_job(v_job, 'CANCELLED', null, null);
      v_changed := v_changed || job_id;
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
    select * into v_job from jobs j where j.id = job_id and j.namespace = p_namespace for update;
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
declare
  v_job jobs;
  v_error jsonb;
  v_changed uuid[] := '{}';
begin
  update jobs set lease_until = now() + make_interval(secs => p_lease_seconds)
  where lease_until > now() + make_interval(secs => p_lease_seconds + 1);
  for v_job in
    select * from jobs j where j.lease_until < now() order by j.lease_until limit p_limit for update skip locked
  loop
    job_id := v_job.id;
    v_error := jsonb_build_object('code', 'LeaseExpired', 'message', 'The worker stopped renewing its lease', 'retryable', true);
    perform add_attempt(v_job, 'expired', v_error);
    if v_job.cancel_requested_at is not null then
      perform finish_job(v_job, 'CANCELLED', null, null);
      outcome := 'cancelled';
    elsif v_job.interruptions + 1 >= p_max_interruptions then
      perform finish_job(v_job, 'ERROR', null, jsonb_build_object('code', 'TooManyInterruptions', 'message',
        format('The job was interrupted %s times without progress: it may be what stops its workers', v_job.interruptions + 1),
        'retryable', false));
      outcome := 'failed';
    else
      perform reopen_job(v_job, 'interrupted', null, 0, false, true);
      outcome := 'reopened';
    end if;
    v_changed := v_changed || v_job.id;
    return next;
  end loop;
  if v_changed <> '{}' then
    perform notify_changes(v_changed);
    perform notify_work();
  end if;
end
$$;
