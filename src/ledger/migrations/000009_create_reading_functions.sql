-- What a worker does with readings: it gets those of its job's range, and says what became of them.

set local search_path = longshore, public;

-- The readings of a range that are not judged yet, each with its meter, the price of its day, and where its register
-- stands. `judged` says that there is nothing left to do; null is no range of this job.
create function load_reading_range(p_secret text, p_job uuid, p_lease bigint, p_payload jsonb) returns jsonb
language plpgsql stable security definer set search_path = longshore, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_namespace text := require_lease(p_secret, p_job, p_lease);
  v_range meter_reading_ranges;
begin
  select * into v_range from meter_reading_ranges
  where id = (p_payload->>'range')::uuid and namespace = v_namespace and job_id = p_job;
  if v_range.id is null then return null; end if;
  if v_range.judged_at is not null then return jsonb_build_object('judged', true, 'readings', '[]'::jsonb); end if;
  return jsonb_build_object('judged', false, 'readings', coalesce((
    select jsonb_agg(jsonb_build_object(
      'id', r.id, 'day', r.day, 'meterId', r.meter_id, 'zone', r.zone, 'value', r.value,
      'readAtMs', floor(extract(epoch from r.read_at) * 1000),
      'meter', case when m.id is not null then jsonb_build_object(
        'zones', m.zones, 'digits', m.digits, 'rollsOver', m.rolls_over, 'maxPerDay', m.max_per_day) end,
      'price', t.price::text, 'currency', t.currency,
      'last', case when g.reading_id is not null then jsonb_build_object(
        'id', g.reading_id, 'value', g.value, 'day', g.day, 'readAtMs', floor(extract(epoch from g.read_at) * 1000)) end))
    from meter_readings r
    left join meters m on m.namespace = r.namespace and m.id = r.meter_id
    left join meter_registers g on g.namespace = r.namespace and g.meter_id = r.meter_id and g.zone = r.zone
    left join lateral (select price, currency from tariffs
      where tariffs.namespace = r.namespace and tariffs.name = m.tariff and tariffs.zone = r.zone and tariffs.valid_from <= r.day
      order by tariffs.valid_from desc limit 1) t on true
    where r.batch_id = any (v_range.batches) and r.day between v_range.first_day and v_range.last_day
      and r.status = 'RECEIVED'), '[]'::jsonb));
end
$$;

-- Writes judgements: all of them, or none with 40001 when a register has moved since it was loaded, so that of two jobs
-- with readings of one meter the later one judges again. Repeating a call whose answer was lost changes nothing.
create function judge_reading_range(p_secret text, p_job uuid, p_lease bigint, p_payload jsonb) returns jsonb
language plpgsql security definer set search_path = longshore, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
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
  select v_namespace, i."meterId", i.zone, i.id, i."beforeId", i.value, i.day, to_timestamp(i."readAtMs" / 1000.0)
  from jsonb_to_recordset(p_payload->'registers') as i("meterId" text, zone text, id uuid, "beforeId" uuid, value bigint,
    day date, "readAtMs" double precision)
  order by i."meterId", i.zone
  on conflict (namespace, meter_id, zone) do update set reading_id = excluded.reading_id, before_id = excluded.before_id,
    value = excluded.value, day = excluded.day, read_at = excluded.read_at
    where g.reading_id is not distinct from excluded.before_id;
  get diagnostics v_moved = row_count;
  if v_moved <> jsonb_array_length(p_payload->'registers') then
    raise exception 'a register has moved' using errcode = '40001';
  end if;

  update meter_readings r set status = i.status, reason = i.reason, previous = i.previous, consumption = i.consumption,
    rolled_over = i."rolledOver", cost = i.cost, currency = i.currency, judged_at = now()
  from jsonb_to_recordset(p_payload->'judgements') as i(id uuid, day date, status text, reason text, previous bigint,
    consumption bigint, "rolledOver" boolean, cost numeric, currency text)
  where r.id = i.id and r.day = i.day and r.status = 'RECEIVED'
    and r.day between v_range.first_day and v_range.last_day;
  update meter_reading_ranges set judged_at = now() where id = v_range.id;
  return jsonb_build_object('judged', jsonb_array_length(p_payload->'judgements'));
end
$$;

revoke all on function load_reading_range(text, uuid, bigint, jsonb), judge_reading_range(text, uuid, bigint, jsonb) from public;
grant execute on function load_reading_range(text, uuid, bigint, jsonb), judge_reading_range(text, uuid, bigint, jsonb)
to longshore_worker;
