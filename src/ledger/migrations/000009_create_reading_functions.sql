-- What a worker does with readings: it gets those of its job's range, and says what became of them.

set local search_path = longshore, public;

-- The readings of a range that are not judged yet, each with its meter, the price of its day, and where its register
-- stands. `judged` says that there is nothing left to do; null is no range of this job. Rows made JSON as a whole take a third of
-- the time that objects of jsonb take. Statistics of a month that has just begun say that there is nothing in it: so each
-- meter and register is looked up (what has a limit is not joined as a whole), and every call is planned for what is there by then.
create function load_reading_range(p_secret text, p_job uuid, p_lease bigint, p_payload jsonb) returns json
language plpgsql stable security definer set search_path = longshore, pg_temp
set enable_seqscan = off set max_parallel_workers_per_gather = 0 set plan_cache_mode = force_custom_plan as $$
declare
  v_namespace text := require_lease(p_secret, p_job, p_lease);
  v_range meter_reading_ranges;
begin
  select * into v_range from meter_reading_ranges
  where id = (p_payload->>'range')::uuid and namespace = v_namespace and job_id = p_job;
  if v_range.id is null then return null; end if;
  if v_range.judged_at is not null then return json_build_object('judged', true, 'readings', '[]'::json); end if;
  return json_build_object('judged', false, 'readings', coalesce((select json_agg(q) from (
    select r.id, r.day, r.meter_id as "meterId", r.zone, r.value, (extract(epoch from r.read_at) * 1000)::bigint as "readAtMs",
      case when m.id is not null then (select x from (
        select m.zones, m.digits, m.rolls_over as "rollsOver", m.max_per_day as "maxPerDay") x) end as meter,
      t.price::text, t.currency,
      case when g.reading_id is not null then (select x from (
        select g.reading_id as id, g.value, g.day, (extract(epoch from g.read_at) * 1000)::bigint as "readAtMs") x) end as last
    from meter_readings r
    left join lateral (select * from meters
      where meters.namespace = r.namespace and meters.id = r.meter_id limit 1) m on true
    left join lateral (select * from meter_registers g0
      where g0.namespace = r.namespace and g0.meter_id = r.meter_id and g0.zone = r.zone limit 1) g on true
    left join lateral (select price, currency from tariffs
      where tariffs.namespace = r.namespace and tariffs.name = m.tariff and tariffs.zone = r.zone and tariffs.valid_from <= r.day
      order by tariffs.valid_from desc limit 1) t on true
    where r.batch_id = any (v_range.batches) and r.day between v_range.first_day and v_range.last_day
      and r.status = 'RECEIVED') q), '[]'::json));
end
$$;

-- Writes judgements: all of them, or none with 40001 when a register has moved since it was loaded, so that of two jobs
-- with readings of one meter the later one judges again. Repeating a call whose answer was lost changes nothing.
create function judge_reading_range(p_secret text, p_job uuid, p_lease bigint, p_payload jsonb) returns jsonb
language plpgsql security definer set search_path = longshore, pg_temp
set enable_seqscan = off set enable_nestloop = off set enable_mergejoin = off set plan_cache_mode = force_custom_plan as $$
declare
  v_namespace text := require_lease(p_secret, p_job, p_lease);
  v_range meter_reading_ranges;
  v_moved integer;
begin
  -- Held to the end: the delivery cannot be given to another one in between.
  perform from jobs where id = p_job and lease = p_lease and lease_until is not null for update;
  if not found then raise exception 'the lease is not current' using errcode = '55000'; end if;
  select * into v_range from meter_reading_ranges
  where id = (p_payload->>'range')::uuid and namespace = v_namespace and job_id = p_job for update;
  if v_range.id is null then return null; end if;
  if v_range.judged_at is not null then return jsonb_build_object('judged', 0); end if;

  insert into meter_registers as g (namespace, meter_id, zone, reading_id, before_id, value, day, read_at)
  select r.namespace, r.meter_id, r.zone, r.id, i."beforeId", r.value, r.day, r.read_at
  from jsonb_to_recordset(p_payload->'registers') as i(id uuid, "beforeId" uuid)
  join meter_readings r on r.id = i.id
  where r.batch_id = any (v_range.batches) and r.day between v_range.first_day and v_range.last_day
  order by r.meter_id, r.zone
  on conflict (namespace, meter_id, zone) do update set reading_id = excluded.reading_id, before_id = excluded.before_id,
    value = excluded.value, day = excluded.day, read_at = excluded.read_at
    where g.reading_id is not distinct from excluded.before_id;
  get diagnostics v_moved = row_count;
  if v_moved <> jsonb_array_length(p_payload->'registers') then
    raise exception 'a register has moved' using errcode = '40001';
  end if;

  -- Found by their batches, not by their ids: they lie together. Joined by hash: one by one each judgement may be joined with
  -- the whole of a month that has no statistics yet.
  update meter_readings r set status = case when i.reason is null then 'ACCEPTED' else 'REFUSED' end, reason = i.reason,
    previous = i.previous, consumption = i.consumption, rolled_over = i."rolledOver", cost = i.cost, currency = i.currency,
    judged_at = now()
  from jsonb_to_recordset(p_payload->'judgements') as i(id uuid, reason text, previous bigint, consumption bigint,
    "rolledOver" boolean, cost numeric, currency text)
  where r.batch_id = any (v_range.batches) and r.day between v_range.first_day and v_range.last_day
    and r.id = i.id and r.status = 'RECEIVED';
  update meter_reading_ranges set judged_at = now() where id = v_range.id;
  return jsonb_build_object('judged', jsonb_array_length(p_payload->'judgements'));
end
$$;

revoke all on function load_reading_range(text, uuid, bigint, jsonb), judge_reading_range(text, uuid, bigint, jsonb) from public;
grant execute on function load_reading_range(text, uuid, bigint, jsonb), judge_reading_range(text, uuid, bigint, jsonb)
to longshore_worker;
