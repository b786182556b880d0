import type { JobError } from '../core/errors.ts';
import type { JobStatus } from '../core/job.ts';
import type { Queryable } from './database.ts';

/** A webhook that the caller may send now. What it says of the job is as it was at that end, whatever came after. */
export interface DueWebhook {
  id: number;
  url: string;
  /** Host and port: deliveries are limited for each. */
  target: string;
  /** Tries so far, this one included; also what proves that this claim is the newest. */
  attempts: number;
  /** Null when the job has been removed. */
  job: {
    id: string;
    namespace: string;
    type: string;
    labels: Record<string, string>;
    status: JobStatus;
    error: JobError | null;
    acceptedAtMs: number;
    finishedAtMs: number;
    /** The number of the event that ended the job. */
    version: number;
  } | null;
}

interface DueRow {
  id: number;
  url: string;
  target: string;
  attempts: number;
  job_id: string;
  namespace: string;
  type: string;
  labels: Record<string, string> | null;
  accepted_at: Date | null;
  event_type: 'succeeded' | 'failed' | 'cancelled' | null;
  event_at: Date | null;
  error: JobError | null;
  event_seq: number;
}

const STATUSES = { succeeded: 'SUCCESS', failed: 'ERROR', cancelled: 'CANCELLED' } as const;

export interface ClaimWebhooks {
  /** The most rows in all, and for each target. */
  limit: number;
  perTarget: number;
  /** How many deliveries of a target are under way here, by target. */
  busy: ReadonlyMap<string, number>;
  /** Nobody else takes the rows for this long; longer than a delivery may last. */
  leaseSeconds: number;
}

/** Takes webhooks that are due, oldest first, so many of each target. Two callers never get the same row. */
export async function claimWebhooks(db: Queryable, claim: ClaimWebhooks): Promise<DueWebhook[]> {
  const { rows } = await db.query<DueRow>(
    `/* webhooks-claim */ with due as (
       select id, target, next_attempt_at, row_number() over (partition by target order by next_attempt_at, id) as place
       from webhooks where delivered_at is null and gave_up_at is null and next_attempt_at <= now()
     ), chosen as (
       select due.id from due left join unnest($3::text[], $4::integer[]) as busy(target, count) on busy.target = due.target
       where due.place <= $2 - coalesce(busy.count, 0) order by due.next_attempt_at, due.id limit $1
     ), locked as (
       select w.id from webhooks w where w.id in (select id from chosen) and w.next_attempt_at <= now()
         and w.delivered_at is null and w.gave_up_at is null for update skip locked
     ), claimed as (
       update webhooks w set attempts = w.attempts + 1, next_attempt_at = now() + make_interval(secs => $5)
       from locked where w.id = locked.id returning w.id, w.url, w.target, w.attempts, w.job_id, w.event_seq
     )
     select c.*, j.namespace, j.type, j.labels, j.accepted_at, e.type as event_type, e.at as event_at, e.data->'error' as error
     from claimed c left join jobs j on j.id = c.job_id
       left join events e on e.job_id = c.job_id and e.seq = c.event_seq`,
    [claim.limit, claim.perTarget, [...claim.busy.keys()], [...claim.busy.values()], claim.leaseSeconds],
  );
  return rows.map(toDueWebhook);
}

/** Ends a webhook: its target has it. */
export async function markDelivered(db: Queryable, webhook: DueWebhook): Promise<void> {
  await db.query(
    `/* webhook-done */ update webhooks set delivered_at = now(), last_error = null
     where id = $1 and attempts = $2 and delivered_at is null`,
    [webhook.id, webhook.attempts],
  );
}

/** Puts a webhook off by `delayMs`, or gives it up when that is past its time. Answers whether it was given up. */
export async function markFailed(
  db: Queryable,
  webhook: DueWebhook,
  failure: { reason: string; delayMs: number; final: boolean },
): Promise<boolean> {
  const { rows } = await db.query<{ gave_up: boolean }>(
    `/* webhook-failed */ update webhooks set last_error = $3, next_attempt_at = now() + make_interval(secs => $4::double precision / 1000),
       gave_up_at = case when $5 or now() + make_interval(secs => $4::double precision / 1000) >= expires_at then now() end
     where id = $1 and attempts = $2 and delivered_at is null returning gave_up_at is not null as gave_up`,
    [webhook.id, webhook.attempts, failure.reason, failure.delayMs, failure.final],
  );
  return rows[0]?.gave_up === true;
}

/** Gives a claim back that was not carried out: the try does not count. */
export async function releaseWebhook(db: Queryable, webhook: DueWebhook): Promise<void> {
  await db.query(
    `/* webhook-release */ update webhooks set next_attempt_at = now(), attempts = attempts - 1
     where id = $1 and attempts = $2 and delivered_at is null`,
    [webhook.id, webhook.attempts],
  );
}

function toDueWebhook(row: DueRow): DueWebhook {
  const { accepted_at: acceptedAt, event_type: type, event_at: at } = row;
  const gone = acceptedAt === null || type === null || at === null;
  return {
    id: row.id,
    url: row.url,
    target: row.target,
    attempts: row.attempts,
    job: gone
      ? null
      : {
          id: row.job_id,
          namespace: row.namespace,
          type: row.type,
          labels: row.labels ?? {},
          status: STATUSES[type],
          error: row.error,
          acceptedAtMs: acceptedAt.getTime(),
          finishedAtMs: at.getTime(),
          version: row.event_seq,
        },
  };
}
