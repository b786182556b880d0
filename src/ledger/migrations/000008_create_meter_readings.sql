-- Customers, meters, tariffs and readings. In this file, and in every statement on these tables, only what
-- PostgreSQL-compatible distributed databases take too (docs/scaling.md lists it): ids are made by the programs, no
-- sequences, triggers, notifications, advisory locks or ctids. Partitions are a folder of their own: src/ledger/partitions.

set local search_path = longshore, public;

create table customers (
  namespace text not null,
  id text not null,
  name text not null,
  created_at timestamptz not null default now(),
  primary key (namespace, id)
);

-- What a unit costs in a zone from a day on.
create table tariffs (
  namespace text not null,
  name text not null,
  zone text not null,
  valid_from date not null,
  price numeric(12, 6) not null check (price >= 0),
  currency text not null,
  primary key (namespace, name, zone, valid_from)
);

create table meters (
  namespace text not null,
  id text not null,
  customer_id text not null,
  tariff text not null,
  zones text[] not null,
  digits integer not null check (digits between 3 and 9),
  rolls_over boolean not null,
  max_per_day integer not null check (max_per_day > 0),
  created_at timestamptz not null default now(),
  primary key (namespace, id)
);
create index meters_by_customer on meters (namespace, customer_id);

-- Where each register of a meter stands: its last accepted reading. Half of each page is left free: every reading changes its register,
-- and a change that stays on its page leaves the index alone.
create table meter_registers (
  namespace text not null,
  meter_id text not null,
  zone text not null,
  reading_id uuid not null,
  -- The reading that was the last one before; what a judgement was made from is compared with it.
  before_id uuid,
  value bigint not null,
  day date not null,
  read_at timestamptz not null,
  primary key (namespace, meter_id, zone)
) with (fillfactor = 50);

-- The id is made of the day and of what was read: the same reading sent again has the same id, wherever it came in.
create table meter_readings (
  id uuid not null,
  day date not null,
  namespace text not null,
  meter_id text not null,
  zone text not null,
  value bigint not null,
  read_at timestamptz not null,
  source text not null,
  batch_id uuid not null,
  status text not null default 'RECEIVED' check (status in ('RECEIVED', 'ACCEPTED', 'REFUSED')),
  reason text,
  previous bigint,
  consumption bigint,
  rolled_over boolean,
  cost numeric(18, 2),
  currency text,
  received_at timestamptz not null default now(),
  judged_at timestamptz,
  primary key (id, day)
);
create index meter_readings_by_meter on meter_readings (namespace, meter_id, day desc, read_at desc, id desc);
create index meter_readings_by_batch on meter_readings (batch_id);

-- Readings that one statement stored and that no range has yet.
create table meter_reading_batches (
  id uuid primary key,
  namespace text not null,
  readings integer not null,
  first_day date not null,
  last_day date not null,
  traceparent text,
  stored_at timestamptz not null default now()
);

-- Readings that one job judges. `job_id` changes when a job ends without having judged them.
create table meter_reading_ranges (
  id uuid primary key,
  namespace text not null,
  batches uuid[] not null,
  readings integer not null,
  first_day date not null,
  last_day date not null,
  traceparent text,
  job_id uuid not null,
  tries integer not null default 1,
  cut_at timestamptz not null default now(),
  accepted_at timestamptz,
  judged_at timestamptz
);
create index meter_reading_ranges_unjudged on meter_reading_ranges (id) where judged_at is null;
create index meter_reading_ranges_by_age on meter_reading_ranges (judged_at) where judged_at is not null;

-- Idempotency keys of readings. Without its own time a reading gets that of the first request with its key, and so its id.
create table meter_reading_keys (
  namespace text not null,
  key text not null,
  body_sha256 text not null,
  read_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (namespace, key)
);
create index meter_reading_keys_by_expiry on meter_reading_keys (expires_at);

-- Files of readings: how far each was read, changed by the transaction that stores the rows.
create table meter_reading_imports (
  namespace text not null,
  name text not null,
  state text not null default 'running' check (state in ('running', 'done', 'failed')),
  -- The header, so that a later part of the file can be read without it.
  columns text[] not null,
  -- Bytes and lines that are dealt with: where to go on.
  bytes bigint not null default 0,
  lines bigint not null default 0,
  stored bigint not null default 0,
  existing bigint not null default 0,
  refused bigint not null default 0,
  -- Of the first bytes of the file, hex: a name alone does not say that it is the same file.
  head_sha256 text,
  error text,
  started_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (namespace, name)
);

create table meter_reading_import_refusals (
  namespace text not null,
  name text not null,
  line bigint not null,
  code text not null,
  detail text not null,
  primary key (namespace, name, line)
);
