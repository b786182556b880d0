import type { JobError } from '../core/errors.ts';
import { isUuid } from '../core/ids.ts';
import type { JobStatus, NewJob } from '../core/job.ts';
import type { ProjectedJob } from '../core/projected-job.ts';
import type { ManifestSource } from '../core/queue-job-manifest.ts';
import { type Accepted, acceptJobs } from './accept.ts';
import { type Database, type Queryable, withTransaction } from './database.ts';

const COLUMNS = `j.id, j.namespace, j.type, j.status, j.attempt, j.failures, j.error, j.suspended, j.cancel_requested_at,
  j.resource_namespace, j.resource_name, j.resource_uid, j.ttl_seconds, j.projected, j.in_window, j.dispatched_at, j.lease_until,
  j.run_at, j.accepted_at, j.admitted_at, j.started_at, j.attempt_started_at, j.finished_at`;

interface ProjectedRow {
  id: string;
  namespace: string;
  type: string;
  status: JobStatus;
  attempt: number;
  failures: number;
  error: JobError | null;
  suspended: boolean;
  cancel_requested_at: Date | null;
  resource_namespace: string | null;
  resource_name: string | null;
  resource_uid: string | null;
  ttl_seconds: number;
  projected: boolean;
  in_window: boolean;
  dispatched_at: Date | null;
  lease_until: Date | null;
  run_at: Date;
  accepted_at: Date;
  admitted_at: Date | null;
  started_at: Date | null;
  attempt_started_at: Date | null;
  finished_at: Date | null;
}

/** A QueueJob by its key; `uid` is null for one that is gone. */
export interface ObjectLookup {
  namespace: string;
  name: string;
  uid: string | null;
}

/** The job that a QueueJob shows, and what its spec was at acceptance (see {@link adoptJob}; null for a job of ours). */
export interface ShownJob {
  job: ProjectedJob;
  specSha256: string | null;
}

/**
 * The jobs of QueueJobs, each at the index of its lookup. An applied one is known by its uid, ours by its name; of one that
 * is gone the job that it showed last.
 */
export async function findShownJobs(
  db: Queryable,
  objects: readonly ObjectLookup[],
): Promise<(ShownJob | null)[]> {
  const ours = await findJobsByName(db, objects);
  const found: (ShownJob | null)[] = ours.map((job) => (job === null ? null : { job, specSha256: null }));
  const others = objects.flatMap((object, n) => (found[n] === null ? [{ ...object, n }] : []));
  if (others.length === 0) return found;
  const { rows } = await db.query<ProjectedRow & { n: number; body_sha256: string | null }>(
    `/* shown-jobs */ select k.n, u.body_sha256, ${COLUMNS}
     from unnest($1::integer[], $2::text[], $3::text[], $4::text[]) as k(n, namespace, name, uid)
     left join unique_keys u on u.namespace = k.namespace and u.scope = 'resource' and u.key = k.uid
     cross join lateral (
       select * from jobs o where o.id = u.job_id
       union all
       (select * from jobs o where k.uid is null and o.resource_namespace = k.namespace
          and o.resource_name = k.name and o.projected order by o.id desc limit 1)) j`,
    [
      others.map(({ n }) => n),
      others.map(({ namespace }) => namespace),
      others.map(({ name }) => name),
      others.map(({ uid }) => uid),
    ],
  );
  for (const row of rows) found[row.n] = { job: toProjectedJob(row), specSha256: row.body_sha256 };
  return found;
}

/** Jobs of ours, by the names of their QueueJobs. Most lookups are such, and PostgreSQL plans this one in a tenth of the time. */
async function findJobsByName(
  db: Queryable,
  objects: readonly ObjectLookup[],
): Promise<(ProjectedJob | null)[]> {
  const ids = objects.flatMap(({ name }) => (isUuid(name) ? [name] : []));
  if (ids.length === 0) return objects.map(() => null);
  const { rows } = await db.query<ProjectedRow>(
    `/* jobs-by-name */ select ${COLUMNS} from jobs j where j.id = any ($1::uuid[]) and j.resource_uid is null`,
    [ids],
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  return objects.map(({ namespace, name }) => {
    const row = byId.get(name);
    return row?.namespace === namespace ? toProjectedJob(row) : null;
  });
}

/** A page of what holds a place in the window or should be shown by a QueueJob, by id. */
export async function listWindowJobs(
  db: Queryable,
  page: { afterId: string | null; limit: number },
): Promise<ProjectedJob[]> {
  const { rows } = await db.query<ProjectedRow>(
    `/* window-jobs */ select ${COLUMNS} from jobs j where j.in_window and ($1::uuid is null or j.id > $1)
     order by j.id limit $2`,
    [page.afterId, page.limit],
  );
  return rows.map(toProjectedJob);
}

/** What QueueJobs of ours are made from, for those of the jobs that are ours and unfinished; `input` is left out (`isLarge`) when it is certainly too large for one. */
export async function readManifestSources(
  db: Queryable,
  ids: readonly string[],
): Promise<(ManifestSource & { isLarge: boolean })[]> {
  const { rows } = await db.query<ManifestSource & { isLarge: boolean; runAt: Date }>(
    `/* manifests */ select id, namespace, type, priority, run_at as "runAt", retries, timeout_seconds as "timeoutSeconds",
       ttl_seconds as "ttlSecondsAfterFinished", suspended, coalesce(labels, '{}') as labels, traceparent,
       large as "isLarge", case when not large then input end as input
     from jobs, lateral (select coalesce(octet_length(input::text), 0) > 32768 as large) size
     where id = any ($1) and finished_at is null and resource_uid is null`,
    [ids],
  );
  return rows.map(({ runAt, ...row }) => ({ ...row, runAtMs: runAt.getTime() }));
}

/** The input of one job; undefined when the job is gone. */
export async function readInput(db: Queryable, id: string): Promise<unknown> {
  const { rows } = await db.query<{ input: unknown }>('/* input */ select input from jobs where id = $1', [
    id,
  ]);
  return rows[0]?.input;
}

/** Notes that a QueueJob shows these jobs: those that are admitted and unfinished. */
export async function markProjected(db: Queryable, ids: readonly string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `/* project */ update jobs set projected = true, in_window = true
     where id = any ($1) and finished_at is null and admitted_at is not null returning id`,
    [ids],
  );
  return rows.map((row) => row.id);
}

/**
 * Notes that no QueueJob shows these jobs any more, and gives their places back. An unfinished job keeps its place
 * as long as it is admitted.
 */
export async function releaseProjections(db: Queryable, ids: readonly string[]): Promise<void> {
  await db.query(
    `/* release */ update jobs set projected = false, in_window = finished_at is null and admitted_at is not null
     where id = any ($1) and (projected or in_window)`,
    [ids],
  );
}

/** How long the ledger remembers which job a uid means; longer than jobs live after their end. */
const RESOURCE_KEY_SECONDS = 400 * 86_400;

export interface Adoption {
  job: NewJob & { resource: NonNullable<NewJob['resource']> };
  /** SHA-256 of the spec as it is accepted, without the fields that may change. */
  specSha256: string;
  /** `spec.idempotencyKey`, under which an earlier job of the namespace may be found. */
  idempotencyKey: { key: string; ttlSeconds: number } | null;
}

/**
 * Accepts the job of an applied QueueJob, once for each uid. With an idempotency key that an earlier job has, the uid
 * comes to mean that job; with another spec under the key nothing is accepted (`conflict`).
 *
 * The unique key (namespace, 'resource', uid) makes it safe to repeat; it is written in the job's own transaction.
 */
export function adoptJob(db: Database, { job, specSha256, idempotencyKey }: Adoption): Promise<Accepted> {
  const { uid } = job.resource;
  const resourceKey = {
    scope: 'resource',
    key: uid,
    bodySha256: specSha256,
    ttlSeconds: RESOURCE_KEY_SECONDS,
  } as const;
  return withTransaction(db, async (client) => {
    await client.query('set local search_path = longshore, public');
    const accept = async (uniqueKey: NewJob['uniqueKey']): Promise<Accepted> => {
      const [accepted] = await acceptJobs(client, [{ ...job, uniqueKey }]);
      return accepted as Accepted;
    };
    if (idempotencyKey === null) return accept(resourceKey);
    const accepted = await accept({ scope: 'idempotency', bodySha256: specSha256, ...idempotencyKey });
    if (accepted.outcome === 'conflict') return accepted;
    await client.query(
      `/* resource-key */ insert into unique_keys (namespace, scope, key, job_id, body_sha256, expires_at)
       values ($1, 'resource', $2, $3, $4, now() + make_interval(secs => $5)) on conflict do nothing`,
      [job.namespace, uid, accepted.jobId, specSha256, RESOURCE_KEY_SECONDS],
    );
    return accepted;
  });
}

function toProjectedJob(row: ProjectedRow): ProjectedJob {
  return {
    id: row.id,
    namespace: row.namespace,
    type: row.type,
    status: row.status,
    attempt: row.attempt,
    failures: row.failures,
    error: row.error,
    suspended: row.suspended,
    cancelRequested: row.cancel_requested_at !== null,
    resource:
      row.resource_uid === null
        ? null
        : { namespace: row.resource_namespace ?? '', name: row.resource_name ?? '', uid: row.resource_uid },
    ttlSecondsAfterFinished: row.ttl_seconds,
    projected: row.projected,
    inWindow: row.in_window,
    dispatched: row.dispatched_at !== null,
    leased: row.lease_until !== null,
    runAtMs: row.run_at.getTime(),
    acceptedAtMs: row.accepted_at.getTime(),
    admittedAtMs: row.admitted_at?.getTime() ?? null,
    startedAtMs: row.started_at?.getTime() ?? null,
    attemptStartedAtMs: row.attempt_started_at?.getTime() ?? null,
    finishedAtMs: row.finished_at?.getTime() ?? null,
  };
}
