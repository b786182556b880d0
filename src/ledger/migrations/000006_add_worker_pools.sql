-- What the controller knows of a pool beside its secret and its scale.

set local search_path = longshore, public;

-- The WorkerPool that the row was read from; null for one of the command line. `capacity`: jobs that its pods could run at
-- once if all of them were there, so that jobs are admitted for a pool that is at zero.
alter table pools
  add column resource_uid text,
  add column capacity integer not null default 0 check (capacity >= 0);

-- The WorkerPool that declared the type; null for one of the command line.
alter table job_types add column pool text;
