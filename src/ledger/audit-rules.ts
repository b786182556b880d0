/** What must hold for every job that is looked at. */
export interface JobRule {
  /** As in the catalogue of invariants, I1 … I18. */
  invariant: string;
  what: string;
  /** Over the columns of {@link JOB_FACTS}; null counts as broken. */
  holds: string;
}

/** What must hold for other rows: `sql` answers rows (example text, broken boolean). */
export interface RowRule {
  invariant: string;
  what: string;
  sql: string;
}

/**
 * One row a job: its columns beside what its events and deliveries say. $1 is the lowest id that is looked at. A job's
 * events and deliveries have its id, so one range of ids finds all three.
 */
export const JOB_FACTS = `
  with e as (
    select job_id, count(*) as events, min(seq) as first_seq, max(seq) as last_seq,
      (array_agg(type order by seq desc))[1] as last_type,
      count(*) filter (where type in ('succeeded', 'failed', 'cancelled')) as ends,
      count(*) filter (where type = 'succeeded') as successes,
      count(*) filter (where type = 'retried') as retried,
      count(*) filter (where type = 'retrying') as retrying,
      count(*) filter (where type = 'interrupted') as interrupted,
      count(*) filter (where type = 'started') as starts,
      count(distinct data->>'lease') filter (where type = 'started') as started_leases,
      max(seq) filter (where type = 'succeeded') as success_seq,
      max(seq) filter (where type = 'cancelling') as cancelling_seq,
      coalesce(max(seq) filter (where type = 'retried'), 0) as retried_seq
    from events where job_id >= $1 group by job_id
  ), ordered as (
    select *, lag(finished_at) over (partition by job_id order by lease) as previous_end from attempts where job_id >= $1
  ), a as (
    select job_id, count(*) as ended, max(lease) as last_lease, min(lease) as first_lease, max(attempt) as last_attempt,
      count(*) filter (where outcome = 'succeeded') as succeeded,
      max(lease) filter (where outcome = 'succeeded') as succeeded_lease,
      count(*) filter (where outcome = 'failed') as failed,
      count(*) filter (where outcome in ('expired', 'handed_back')) as interrupted,
      coalesce(bool_or(started_at < previous_end), false) as overlapping, max(finished_at) as last_end
    from ordered group by job_id
  ), blobs_of as (
    select job_id, count(*) as result_blobs from job_blobs where job_id >= $1 and role = 'result' group by job_id
  )
  select j.id, j.status, j.attempt, j.failures, j.retries, j.lease, j.lease_until, j.version, j.result is not null as has_result,
    j.finished_at, j.dispatched_at, j.attempt_started_at, j.admitted_at, j.in_window, j.cancel_requested_at, j.webhook_url,
    coalesce(e.events, 0) as events, e.first_seq, e.last_seq, e.last_type, coalesce(e.ends, 0) as ends,
    coalesce(e.successes, 0) as successes, coalesce(e.retried, 0) as retried, coalesce(e.retrying, 0) as retrying,
    coalesce(e.interrupted, 0) as interrupted_events, coalesce(e.starts, 0) as starts,
    coalesce(e.started_leases, 0) as started_leases, e.success_seq, e.cancelling_seq, coalesce(e.retried_seq, 0) as retried_seq,
    coalesce(a.ended, 0) as ended, coalesce(a.last_lease, 0) as last_lease, coalesce(a.first_lease, 1) as first_lease,
    coalesce(a.last_attempt, 0) as last_attempt, coalesce(a.succeeded, 0) as succeeded, a.succeeded_lease,
    coalesce(a.failed, 0) as failed, coalesce(a.interrupted, 0) as interrupted_deliveries,
    coalesce(a.overlapping, false) or (j.lease_until is not null and coalesce(j.attempt_started_at < a.last_end, false)) as overlapping,
    coalesce(b.result_blobs, 0) as result_blobs
  from jobs j left join e on e.job_id = j.id left join a on a.job_id = j.id left join blobs_of b on b.job_id = j.id
  where j.id >= $1`;

/** The event that ends a job of each status. */
const ENDING = `case status when 'SUCCESS' then 'succeeded' when 'ERROR' then 'failed' when 'CANCELLED' then 'cancelled' end`;

export const JOB_RULES: readonly JobRule[] = [
  {
    invariant: 'I3',
    what: 'a job has a final status exactly when it has an end',
    holds: `(status in ('SUCCESS', 'ERROR', 'CANCELLED')) = (finished_at is not null)`,
  },
  {
    invariant: 'I3',
    what: 'each end but the last was followed by a retry, and the last event of a finished job is its end',
    holds: `ends = retried + (finished_at is not null)::integer and (finished_at is null or last_type = ${ENDING})`,
  },
  {
    invariant: 'I3',
    what: 'nothing happens after a success',
    holds: `successes <= 1 and (success_seq is null or success_seq = last_seq)`,
  },
  {
    invariant: 'I3',
    what: 'a retry opens one attempt',
    holds: `attempt = 1 + retried + retrying and last_attempt <= attempt`,
  },
  {
    invariant: 'I4',
    what: 'a job has one result: result, delivery and event appear together or not at all',
    holds: `succeeded = successes and succeeded = (status = 'SUCCESS')::integer and (status = 'SUCCESS' or not has_result and result_blobs = 0)`,
  },
  {
    invariant: 'I5',
    what: 'the delivery that succeeded had the highest lease',
    holds: `succeeded = 0 or succeeded_lease = lease`,
  },
  {
    invariant: 'I5',
    what: 'each start has a lease of its own, and has ended or is live',
    holds: `starts = ended + (lease_until is not null)::integer and starts = lease and started_leases = starts
      and first_lease >= 1 and last_lease <= lease`,
  },
  {
    invariant: 'I6',
    what: 'no delivery began before the one before it had ended, and a finished job has none',
    holds: `not overlapping and (finished_at is null or lease_until is null and dispatched_at is null)`,
  },
  {
    invariant: 'I7',
    what: 'only failed deliveries are charged, and no more than the allowance',
    holds: `failures <= retries and failures <= retrying and (retried > 0 or failures = retrying) and retrying <= failed`,
  },
  {
    invariant: 'I7',
    what: 'deliveries that were interrupted went on without a charge',
    holds: `interrupted_events <= interrupted_deliveries`,
  },
  {
    invariant: 'I8',
    what: 'an admitted job counts against the window until it ends',
    holds: `finished_at is not null or admitted_at is null or in_window`,
  },
  {
    invariant: 'I13',
    what: 'no success after the cancellation was accepted',
    holds: `status <> 'SUCCESS' or cancel_requested_at is null and coalesce(cancelling_seq, 0) <= retried_seq`,
  },
  {
    invariant: 'I15',
    what: 'events are numbered from 1 to the version of the job, without a gap',
    holds: `events = version and first_seq = 1 and last_seq = version`,
  },
];

/** Rules over rows of other tables. $1 as above, $2 the lease in seconds, $3 the window's size. */
export const ROW_RULES: readonly RowRule[] = [
  {
    invariant: 'I6',
    what: 'no lease reaches further ahead than one lease',
    sql: `select id::text || ' until ' || lease_until as example, lease_until > clock_timestamp() + make_interval(secs => $2::double precision + 1) as broken
      from jobs where lease_until is not null`,
  },
  {
    invariant: 'I8',
    what: 'admitted jobs of a namespace fit its window',
    sql: `select namespace || ' has ' || count(*) as example, count(*) > $3::integer as broken
      from jobs where in_window and admitted_at is not null and resource_uid is null group by namespace`,
  },
  {
    invariant: 'I12',
    what: 'a key stands for a job of its namespace',
    sql: `select k.scope || ' ' || k.namespace || '/' || k.key || ' is ' || k.job_id as example, j.id is null as broken
      from unique_keys k left join jobs j on j.id = k.job_id and j.namespace = k.namespace
      where k.job_id >= $1 and k.expires_at > now()`,
  },
  {
    invariant: 'I12',
    what: 'an applied object has one job',
    sql: `select resource_uid || ' has ' || count(*) as example, count(*) > 1 as broken
      from jobs where resource_uid is not null and id >= $1 group by resource_uid`,
  },
  {
    invariant: 'I14',
    what: 'expired leases are recovered within 60 s',
    sql: `select id::text || ' since ' || lease_until as example, lease_until < now() - interval '60 seconds' as broken
      from jobs where lease_until is not null`,
  },
  {
    invariant: 'I14',
    what: 'no event or delivery without its job',
    sql: `select 'of job ' || d.job_id as example, j.id is null as broken
      from (select job_id from events where job_id >= $1 union select job_id from attempts where job_id >= $1) d
      left join jobs j on j.id = d.job_id`,
  },
  {
    invariant: 'I14',
    what: 'no blob without an owner for two hours',
    sql: `select b.id::text as example, b.touched_at < now() - interval '2 hours' and not exists (select from job_blobs o where o.blob_id = b.id) as broken
      from blobs b where b.id >= $1`,
  },
  {
    invariant: 'I14',
    what: 'no unfinished job has lost its blobs',
    sql: `select o.job_id || ' ' || o.name as example, b.id is null as broken
      from job_blobs o join jobs j on j.id = o.job_id left join blobs b on b.id = o.blob_id and b.complete
      where o.job_id >= $1 and j.finished_at is null`,
  },
  {
    invariant: 'I15',
    what: 'each end of a job with a webhook has a delivery',
    sql: `select e.job_id || '-' || e.seq as example, w.id is null as broken
      from jobs j join events e on e.job_id = j.id and e.type in ('succeeded', 'failed', 'cancelled')
      left join webhooks w on w.job_id = j.id and w.event_seq = e.seq
      where j.id >= $1 and j.webhook_url is not null and e.at > now() - interval '6 days'`,
  },
];

/** What must hold once everything is at rest. */
export const REST_RULES: readonly RowRule[] = [
  {
    invariant: 'I14',
    what: 'every accepted job has ended',
    sql: `select id::text || ' is ' || status as example, finished_at is null as broken from jobs where id >= $1`,
  },
];
