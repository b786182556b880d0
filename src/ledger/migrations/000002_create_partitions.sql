set local search_path = longshore, public;

-- The smallest UUIDv7 of a moment.
create function uuid_floor(p_at timestamptz) returns uuid language sql immutable parallel safe as $$
  select (lpad(to_hex(greatest(0, floor(extract(epoch from p_at) * 1000))::bigint), 12, '0') || '70008000000000000000')::uuid
$$;

-- Makes the weekly partitions from `p_from` to `p_until`; idempotent. A week that the default partition already holds
-- rows of is left to it.
create function ensure_partitions(p_from timestamptz, p_until timestamptz) returns integer language plpgsql as $$
declare
  v_week timestamptz := date_trunc('week', p_from at time zone 'UTC') at time zone 'UTC';
  v_made integer := 0;
  v_parent text;
  v_name text;
begin
  perform pg_advisory_xact_lock(hashtext('longshore.partitions'));
  while v_week < p_until loop
    foreach v_parent in array array['jobs', 'attempts', 'events'] loop
      v_name := v_parent || '_' || to_char(v_week at time zone 'UTC', 'YYYYMMDD');
      if to_regclass('longshore.' || v_name) is null then
        begin
          execute format(
            'create table longshore.%I partition of longshore.%I for values from (%L) to (%L)',
            v_name, v_parent, uuid_floor(v_week), uuid_floor(v_week + interval '7 days'));
          v_made := v_made + 1;
        exception when check_violation then
          raise notice 'partition % is held back by rows of the default partition', v_name;
        end;
      end if;
    end loop;
    v_week := v_week + interval '7 days';
  end loop;
  return v_made;
end
$$;

select ensure_partitions(now() - interval '7 days', now() + interval '14 days');
