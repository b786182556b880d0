-- The ledger's tables. `jobs` and `events` are partitioned by id: a UUIDv7 starts with its time, so a week is a range.

create schema if not exists longshore;
set local search_path = longshore, public;

create table jobs (
  id uuid not null primary key,
  namespace text not null,
  type text not null,
  status text not null default 'CREATED' check (status in ('CREATED', 'PROCESS', 'SUCCESS', 'ERROR', 'CANCELLED')),
  priority smallint not null default 0 check (priority between -100 and 100),
  labels jsonb,
  input jsonb,
  timeout_seconds integer not null,
  retries integer not null,
  backoff_base_ms integer not null,
  backoff_max_ms integer not null,
  ttl_seconds integer not null,
  webhook_url text,
  traceparent text,
  resource_namespace text,
  resource_name text,
  resource_uid text,

  -- Where it stands. `delayed` keeps jobs that are not due out of the index that admission reads.
  run_at timestamptz not null,
  delayed boolean not null default false,
  suspended boolean not null default false,
  cancel_requested_at timestamptz,
  attempt integer not null default 1,
  failures integer not null default 0,
  interruptions integer not null default 0,
  progress jsonb,
  error jsonb,
  result jsonb,
  version bigint not null default 1,

  -- The window: `in_window` counts against it; `projected` says that a QueueJob shows this job.
  in_window boolean not null default false,
  projected boolean not null default false,

  -- The lease: its number is the fencing token and grows with each delivery; `lease_until` is null when none is live.
  lease bigint not null default 0,
  lease_until timestamptz,
  worker text,

  accepted_at timestamptz not null default now(),
  admitted_at timestamptz,
  dispatched_at timestamptz,
  queued_at timestamptz,
  started_at timestamptz,
  attempt_started_at timestamptz,
  finished_at timestamptz
) partition by range (id);

-- A job that is looked up by its id is checked with `namespace || ''` for its tenant: a plan that was made while a partition
-- was empty would else walk all ids of the namespace in one of these.
create index jobs_by_namespace on jobs (namespace, id desc);
create index jobs_by_status on jobs (namespace, status, id desc);
create index jobs_by_type on jobs (namespace, type, status, id desc);
create index jobs_by_resource on jobs (resource_namespace, resource_name, id desc) where resource_name is not null;
create index jobs_waiting on jobs (namespace, type, priority desc, id)
  where finished_at is null and admitted_at is null and not suspended and not delayed;
create index jobs_delayed on jobs (run_at) where delayed and finished_at is null;
create index jobs_window on jobs (namespace, type) where in_window;
create index jobs_to_dispatch on jobs (run_at)
  where finished_at is null and admitted_at is not null and lease_until is null and dispatched_at is null and not suspended;
create index jobs_dispatched on jobs (dispatched_at)
  where finished_at is null and lease_until is null and dispatched_at is not null;
create index jobs_leased on jobs (namespace, type, lease_until) where lease_until is not null;

create table jobs_default partition of jobs default;

-- One row a delivery that has ended; the live one is in `jobs`.
create table attempts (
  job_id uuid not null,
  lease bigint not null,
  attempt integer not null,
  outcome text not null check (outcome in ('succeeded', 'failed', 'cancelled', 'handed_back', 'expired')),
  worker text,
  error jsonb,
  started_at timestamptz,
  finished_at timestamptz not null default now(),
  primary key (job_id, lease)
) partition by range (job_id);
create table attempts_default partition of attempts default;

create table events (
  job_id uuid not null,
  seq bigint not null,
  type text not null,
  at timestamptz not null default now(),
  data jsonb,
  primary key (job_id, seq)
) partition by range (job_id);
create table events_default partition of events default;

-- Labels in order of id, so that a page of a label is a walk along an index.
create table job_labels (
  namespace text not null,
  key text not null,
  value text not null,
  job_id uuid not null,
  primary key (namespace, key, value, job_id)
);
create index job_labels_by_job on job_labels (job_id);

-- Keys that stay unique over time, whatever becomes of the partitions.
create table unique_keys (
  namespace text not null,
  scope text not null check (scope in ('idempotency', 'contract', 'resource', 'fire')),
  key text not null,
  job_id uuid not null,
  body_sha256 text not null,
  expires_at timestamptz not null,
  primary key (namespace, scope, key)
);
create index unique_keys_by_expiry on unique_keys (expires_at);
create index unique_keys_by_job on unique_keys (job_id);

create table blobs (
  id uuid primary key,
  namespace text not null,
  sha256 text,
  bytes bigint not null default 0,
  complete boolean not null default false,
  touched_at timestamptz not null default now()
);
create unique index blobs_by_content on blobs (namespace, sha256) where complete;
create index blobs_by_touch on blobs (touched_at);

create table blob_chunks (
  blob_id uuid not null references blobs (id) on delete cascade,
  n integer not null,
  data bytea not null check (octet_length(data) <= 262144),
  primary key (blob_id, n)
);
-- Photographs and zips do not compress: storing them as they are saves the processor the try.
alter table blob_chunks alter column data set storage external;

create table job_blobs (
  job_id uuid not null,
  n integer not null,
  role text not null check (role in ('input', 'result')),
  blob_id uuid not null,
  name text not null,
  media_type text not null,
  primary key (job_id, role, n)
);
create index job_blobs_by_blob on job_blobs (blob_id);

create table webhooks (
  id bigint generated always as identity primary key,
  job_id uuid not null,
  namespace text not null,
  url text not null,
  event_seq bigint not null,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '24 hours',
  delivered_at timestamptz,
  last_error text
);
create index webhooks_due on webhooks (next_attempt_at) where delivered_at is null;

-- A type's schema and limits; namespace '' is a type of every namespace. The rate is kept by the time of the next start.
create table job_types (
  namespace text not null default '',
  name text not null,
  definition jsonb not null,
  max_running integer,
  rate_count integer,
  rate_per_seconds integer,
  next_start_at timestamptz not null default '-infinity',
  budget text,
  paused boolean not null default false,
  updated_at timestamptz not null default now(),
  primary key (namespace, name)
);

-- Which types of a namespace a secret opens, and how the pods behind it scale: any controller answers the scaler from here.
create table pools (
  namespace text not null,
  name text not null,
  types text[] not null,
  secret_sha256 bytea not null unique,
  max_replicas integer not null default 10 check (max_replicas >= 0),
  jobs_per_replica integer not null default 10 check (jobs_per_replica > 0),
  paused boolean not null default false,
  created_at timestamptz not null default now(),
  primary key (namespace, name)
);

create table worker_sessions (
  id text primary key,
  namespace text not null,
  pool text not null,
  types text[] not null,
  concurrency integer not null,
  seen_at timestamptz not null default now()
);

-- A provider's limits over all workers: the moment of the next call, and the calls of the day (UTC). What the limits are is
-- noted with each call; 0 is none.
create table budgets (
  name text primary key,
  per_second double precision not null default 0,
  per_day integer not null default 0,
  next_at timestamptz not null default '-infinity',
  day date not null default '-infinity',
  used integer not null default 0,
  banned_until timestamptz not null default '-infinity'
);

create table schedules (
  namespace text not null,
  name text not null,
  spec jsonb not null,
  resource_uid text,
  next_fire_at timestamptz,
  last_fire_at timestamptz,
  last_job_id uuid,
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (namespace, name)
);
create index schedules_due on schedules (next_fire_at) where next_fire_at is not null;

create table api_keys (
  id text primary key,
  sha256 bytea not null,
  name text not null,
  namespace text not null,
  scopes text[] not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);

create table bulk_operations (
  id uuid primary key,
  namespace text not null,
  kind text not null check (kind in ('cancel', 'retry')),
  filter jsonb not null,
  state text not null default 'running' check (state in ('running', 'done')),
  matched integer not null default 0,
  changed integer not null default 0,
  cursor uuid,
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
create index bulk_operations_running on bulk_operations (id) where state = 'running';
