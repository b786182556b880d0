set local search_path = longshore, public;

-- How pools stand, one row a type: all pools, or those named by the two arrays. Counts stop at what the pool's pods take
-- together, or at `p_cap` if that is more, so a backlog of a million costs what a hundred do; of what becomes due while a pod
-- starts (`coming`) 10,000 are looked at over all. A namespace's own type goes before the type of all, as at the claim.
-- Made once a connection, the plan must stay right for partitions that are empty when it is made: hence
-- no sequential scans; a bitmap would read the whole backlog before it is cut.
create function pool_loads(p_namespaces text[], p_names text[], p_cap integer, p_start_ms integer)
returns table (namespace text, name text, "maxReplicas" integer, "jobsPerReplica" integer, paused boolean,
  active integer, due integer, coming integer, "oldestSeconds" double precision, "typePaused" boolean, "maxRunning" integer,
  "ratePerSecond" double precision, "rateNextInMs" double precision, "budgetPerSecond" double precision,
  "budgetNextInMs" double precision, "budgetLeft" integer)
language plpgsql stable set search_path = longshore, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  v_start interval := make_interval(secs => p_start_ms / 1000.0);
begin
  return query
  with wanted as materialized (
    select p.namespace, p.name, p.types, p.max_replicas, p.jobs_per_replica, p.paused,
      greatest(p.max_replicas * p.jobs_per_replica, p_cap) as most
    from pools p
    where p_namespaces is null or (p.namespace, p.name) in (select * from unnest(p_namespaces, p_names))
  ), coming as materialized (
    select j.namespace, j.type, count(*)::integer as jobs from (
      select namespace, type, suspended from jobs
      where delayed and finished_at is null and run_at <= now() + v_start
      order by run_at limit 10000) j
    where not j.suspended group by 1, 2
  )
  select w.namespace, w.name, w.max_replicas as "maxReplicas", w.jobs_per_replica as "jobsPerReplica", w.paused,
    coalesce(active.jobs, 0) as active, coalesce(fresh.jobs + admitted.due, 0) as due,
    coalesce(admitted.coming + coalesce(coming.jobs, 0), 0) as coming,
    coalesce(extract(epoch from now() - least(oldest.since, admitted.since)), 0)::double precision as "oldestSeconds",
    coalesce(l.paused, false) as "typePaused", l.max_running as "maxRunning",
    l.rate_count::double precision / l.rate_per_seconds as "ratePerSecond",
    (extract(epoch from greatest(l.next_start_at, now()) - now()) * 1000)::double precision as "rateNextInMs",
    b.per_second as "budgetPerSecond",
    (extract(epoch from greatest(b.next_at, b.banned_until, now()) - now()) * 1000)::double precision as "budgetNextInMs",
    case when b.per_day > 0 then b.per_day - case when b.day = (now() at time zone 'UTC')::date then b.used else 0 end end
      as "budgetLeft"
  from wanted w
  left join lateral (select distinct t as type from unnest(w.types) t) t on true
  left join lateral (
    select paused, max_running, rate_count, rate_per_seconds, next_start_at from job_types jt
    where jt.name = t.type and jt.namespace in (w.namespace, '')
      and (jt.paused or jt.max_running is not null or jt.rate_count is not null)
    order by jt.namespace desc limit 1) l on true
  left join lateral (
    select jt.budget from job_types jt where jt.name = t.type and jt.namespace in (w.namespace, '')
    order by jt.namespace desc limit 1) known on true
  left join budgets b on b.name = known.budget
  left join lateral (
    select count(*)::integer as jobs from jobs j
    where j.namespace = w.namespace and j.type = t.type and j.lease_until is not null) active on true
  left join lateral (
    select count(*)::integer as jobs from (
      select from jobs j where j.namespace = w.namespace and j.type = t.type and j.finished_at is null
        and j.admitted_at is null and not j.suspended and not j.delayed limit w.most) j) fresh on true
  left join lateral (
    select count(*) filter (where j.run_at <= now())::integer as due,
      count(*) filter (where j.run_at > now())::integer as coming,
      min(j.run_at) filter (where j.run_at <= now()) as since from (
      select j.run_at from jobs j where j.in_window and j.namespace = w.namespace and j.type = t.type
        and j.finished_at is null and j.admitted_at is not null and j.lease_until is null and not j.suspended
        and j.run_at <= now() + v_start limit w.most) j) admitted on true
  left join lateral (
    -- The first of each priority is the oldest of it: a few steps along the index that admission reads.
    with recursive step as (
      (select j.priority, j.run_at from jobs j where j.namespace = w.namespace and j.type = t.type and j.finished_at is null
         and j.admitted_at is null and not j.suspended and not j.delayed order by j.priority desc, j.id limit 1)
      union all
      select n.priority, n.run_at from step s, lateral (
        select j.priority, j.run_at from jobs j where j.namespace = w.namespace and j.type = t.type and j.finished_at is null
          and j.admitted_at is null and not j.suspended and not j.delayed and j.priority < s.priority
        order by j.priority desc, j.id limit 1) n)
    select min(run_at) as since from step) oldest on true
  left join coming on coming.namespace = w.namespace and coming.type = t.type;
end
$$;
revoke all on function pool_loads(text[], text[], integer, integer) from public;
