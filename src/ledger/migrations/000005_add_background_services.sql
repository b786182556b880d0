-- What the leader's services keep: how a webhook ended, where it goes, and what became of each fire of a schedule.

set local search_path = longshore, public;

-- The target is who answers slowly: deliveries are limited for each. Given up is not delivered: both end a webhook.
alter table webhooks
  add column target text generated always as (lower(substring(url from '^[a-zA-Z]+://([^/?#]+)'))) stored,
  add column gave_up_at timestamptz;
drop index webhooks_due;
create index webhooks_due on webhooks (next_attempt_at) where delivered_at is null and gave_up_at is null;
create index webhooks_by_job on webhooks (job_id);

-- One row a fire time that was dealt with.
create table schedule_fires (
  namespace text not null,
  name text not null,
  fire_at timestamptz not null,
  outcome text not null check (outcome in ('fired', 'skipped', 'failed')),
  job_id uuid,
  detail text,
  decided_at timestamptz not null default now(),
  primary key (namespace, name, fire_at)
);
create index schedule_fires_by_age on schedule_fires (decided_at);
