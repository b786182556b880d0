import type { Queryable } from './database.ts';

/** How one type of a namespace stands in the window. */
export interface WindowUse {
  namespace: string;
  type: string;
  /** Jobs of it that hold a place in the window: QueueJobs that are shown, whether admitted, unfinished or not. */
  live: number;
  /** Admitted, unfinished jobs. */
  open: number;
}

/** The window's use, counted in the ledger. */
export async function countWindow(db: Queryable): Promise<WindowUse[]> {
  const { rows } = await db.query<WindowUse>(
    `/* window */ select namespace, type, count(*)::integer as live,
       count(*) filter (where finished_at is null and admitted_at is not null)::integer as open
     from jobs where in_window group by 1, 2`,
  );
  return rows;
}

/** Due jobs that wait for admission, by type, each counted up to `cap`. */
export interface Waiting {
  namespace: string;
  type: string;
  waiting: number;
  /** … of which hold a place in the window already: applied QueueJobs. */
  placed: number;
  /** … of which have a raised priority and no place yet. */
  raised: number;
}

/** Counts what waits of the given types. */
export async function countWaiting(
  db: Queryable,
  types: readonly { namespace: string; type: string }[],
  cap: number,
): Promise<Waiting[]> {
  const { rows } = await db.query<Waiting>(
    `/* waiting */ select s.namespace, s.type, w.waiting::integer, w.placed::integer, w.raised::integer
     from unnest($1::text[], $2::text[]) as s(namespace, type),
     lateral (select count(*) as waiting, count(*) filter (where in_window) as placed,
         count(*) filter (where priority > 0 and not in_window) as raised from (
       select priority, in_window from jobs j where j.namespace = s.namespace and j.type = s.type and j.finished_at is null
         and j.admitted_at is null and not j.suspended and not j.delayed
       order by j.priority desc, j.id limit $3) top) w
     where w.waiting > 0`,
    [types.map((t) => t.namespace), types.map((t) => t.type), cap],
  );
  return rows;
}

/** A job that is to be put onto its queue; `lease` and `attempt` are part of the queue entry's identity. */
export interface Dispatch {
  id: string;
  namespace: string;
  type: string;
  priority: number;
  attempt: number;
  lease: number;
  traceparent: string | null;
}

const DISPATCH_COLUMNS = 'j.id, j.namespace, j.type, j.priority, j.attempt, j.lease, j.traceparent';

/** How many of a type to admit. */
export interface Allotment {
  namespace: string;
  type: string;
  count: number;
  /** How many of them may be jobs that hold no place in the window yet. Defaults to all. */
  places?: number;
}

/**
 * Admits the first `count` waiting jobs of each type, by priority, then age. With `dispatch` they are marked as put onto
 * the queue in the same statement: the caller enqueues them next, and what is lost between is found by {@link listUnconfirmed}.
 * Without it they are marked as shown by a QueueJob, which the caller makes next.
 */
export async function admitJobs(
  db: Queryable,
  allotments: readonly Allotment[],
  options: { dispatch: boolean },
): Promise<Dispatch[]> {
  if (allotments.length === 0) return [];
  const { rows } = await db.query<Dispatch>(
    `/* admit */ with chosen as (
       select c.id from unnest($1::text[], $2::text[], $3::integer[], $4::integer[]) as a(namespace, type, count, places),
       lateral (select w.id from (
           (select j.id, j.priority from jobs j where j.namespace = a.namespace and j.type = a.type and j.finished_at is null
              and j.admitted_at is null and not j.suspended and not j.delayed and not j.in_window
            order by j.priority desc, j.id limit a.places)
           union all
           (select j.id, j.priority from jobs j where j.namespace = a.namespace and j.type = a.type and j.finished_at is null
              and j.admitted_at is null and not j.suspended and not j.delayed and j.in_window
            order by j.priority desc, j.id limit a.count)) w
         order by w.priority desc, w.id limit a.count) c)
     update jobs j set admitted_at = now(), in_window = true, projected = j.projected or not $5,
       dispatched_at = case when $5 then now() end
     from chosen where j.id = chosen.id and j.finished_at is null and j.admitted_at is null
     returning ${DISPATCH_COLUMNS}`,
    [
      allotments.map((a) => a.namespace),
      allotments.map((a) => a.type),
      allotments.map((a) => a.count),
      allotments.map((a) => a.places ?? a.count),
      options.dispatch,
    ],
  );
  return rows.sort((a, b) => b.priority - a.priority || (a.id < b.id ? -1 : 1));
}

/**
 * Marks admitted, due jobs as put onto the queue and answers them: the caller enqueues them next. Without `ids` every
 * such job up to `limit`, oldest due first; with `ids` those of them that are such jobs.
 */
export async function takeDispatches(
  db: Queryable,
  options: { limit: number; ids?: readonly string[] },
): Promise<Dispatch[]> {
  const { rows } = await db.query<Dispatch>(
    `/* dispatch */ with chosen as (
       select j.id from jobs j where j.finished_at is null and j.admitted_at is not null and j.lease_until is null
         and j.dispatched_at is null and not j.suspended and j.run_at <= now()
         and ($2::uuid[] is null or j.id = any ($2))
       order by j.run_at limit $1 for update skip locked)
     update jobs j set dispatched_at = now() from chosen where j.id = chosen.id returning ${DISPATCH_COLUMNS}`,
    [options.limit, options.ids ?? null],
  );
  return rows;
}

/** Jobs that were put onto the queue at least `olderThanMs` ago and have not been claimed: their entries may be lost. */
export async function listUnconfirmed(
  db: Queryable,
  olderThanMs: number,
  limit: number,
): Promise<Dispatch[]> {
  const { rows } = await db.query<Dispatch>(
    `/* unconfirmed */ select ${DISPATCH_COLUMNS} from jobs j
     where j.finished_at is null and j.lease_until is null and j.dispatched_at < now() - make_interval(secs => $1::double precision / 1000)
     order by j.dispatched_at limit $2`,
    [olderThanMs, limit],
  );
  return rows;
}

/** Makes jobs that were delayed and are due visible to admission. Answers how many. */
export async function releaseDelayed(db: Queryable, limit: number): Promise<number> {
  const { rowCount } = await db.query(
    `/* release-delayed */ update jobs set delayed = false where id in (
       select id from jobs where delayed and finished_at is null and run_at <= now() order by run_at limit $1 for update skip locked)`,
    [limit],
  );
  return rowCount ?? 0;
}

/** Milliseconds until the next delayed or backing-off job is due; null when there is none. */
export async function nextDueMs(db: Queryable): Promise<number | null> {
  const { rows } = await db.query<{ ms: number | null }>(
    `/* next-due */ select (extract(epoch from min(at) - now()) * 1000)::double precision as ms from (
       (select run_at as at from jobs where delayed and finished_at is null order by run_at limit 1)
       union all
       (select run_at from jobs where finished_at is null and admitted_at is not null and lease_until is null
         and dispatched_at is null and not suspended order by run_at limit 1)) due`,
  );
  return rows[0]?.ms ?? null;
}

/** What {@link recoverLeases} did. */
export interface Recovered {
  jobId: string;
  outcome: 'cancelled' | 'failed' | 'reopened';
}

/**
 * Reopens jobs whose lease ran out, and ends those that were interrupted too often. Level-based: any replica may call it
 * at any time.
 */
export async function recoverLeases(
  db: Queryable,
  options: { leaseSeconds: number; maxInterruptions: number; limit: number },
): Promise<Recovered[]> {
  const { rows } = await db.query<{ job_id: string; outcome: Recovered['outcome'] }>(
    '/* recover */ select job_id, outcome from recover_leases($1, $2, $3)',
    [options.leaseSeconds, options.maxInterruptions, options.limit],
  );
  return rows.map((row) => ({ jobId: row.job_id, outcome: row.outcome }));
}
