-- Readings by the month they were read in. PostgreSQL alone: databases that spread tables by themselves go without this
-- folder (`longshore migrate --no-partitions`). What was stored before is kept.

set local search_path = longshore, public;

alter table meter_readings rename to meter_readings_whole;

create table meter_readings (like meter_readings_whole including defaults including constraints)
  partition by range (day);
alter table meter_readings add primary key (id, day);
create index on meter_readings (namespace, meter_id, day desc, read_at desc, id desc);
create index on meter_readings (batch_id);

create table meter_readings_default partition of meter_readings default;

-- Makes the months from `p_from` to `p_until`, both included; idempotent. Each reading is written twice, when it is
-- stored and when it is judged: the room left in each page keeps the second write out of the indexes. A month that the
-- default partition already holds rows of is left to it.
create function ensure_reading_months(p_from date, p_until date) returns integer language plpgsql as $$
declare
  v_month date := date_trunc('month', p_from)::date;
  v_made integer := 0;
  v_name text;
begin
  perform pg_advisory_xact_lock(hashtext('longshore.reading_months'));
  while v_month <= p_until loop
    v_name := 'meter_readings_' || to_char(v_month, 'YYYYMM');
    if to_regclass('longshore.' || v_name) is null then
      begin
        execute format(
          'create table longshore.%I partition of longshore.meter_readings for values from (%L) to (%L) with (fillfactor = 70)',
          v_name, v_month, (v_month + interval '1 month')::date);
        v_made := v_made + 1;
      exception when check_violation then
        raise notice 'partition % is held back by rows of the default partition', v_name;
      end;
    end if;
    v_month := (v_month + interval '1 month')::date;
  end loop;
  return v_made;
end
$$;
revoke all on function ensure_reading_months(date, date) from public;

select ensure_reading_months((now() - interval '13 months')::date, (now() + interval '2 months')::date);

insert into meter_readings select * from meter_readings_whole;
drop table meter_readings_whole;
