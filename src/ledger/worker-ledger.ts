import { createHash } from 'node:crypto';
import { type JobError, RetryableError } from '../core/errors.ts';
import { uuidv7 } from '../core/ids.ts';
import type { JobProgress, JobStatus } from '../core/job.ts';
import { isUnavailable, type Queryable } from './database.ts';
import { isSerializationFailure } from './serialization.ts';

/** Blobs are kept in pieces of this size at most. */
export const BLOB_CHUNK_BYTES = 256 * 1_024;

/** A delivery that the queue suggests: `lease` is the job's lease number before it. */
export interface ClaimRequest {
  id: string;
  lease: number;
  /** The answer to this very claim of this worker was lost: grant it once more, if it was granted. */
  again?: boolean;
}

/** Why a suggestion was refused: its queue entry is to be dropped. */
export type ClaimRefusal = 'missing' | 'finished' | 'stale' | 'leased' | 'suspended' | 'early' | 'limited';

export interface InputBlob {
  blobId: string;
  name: string;
  mediaType: string;
  bytes: number;
  sha256: string;
}

/** A job that is ours until its lease runs out. Times are milliseconds since the epoch. */
export interface ClaimedJob {
  id: string;
  lease: number;
  attempt: number;
  namespace: string;
  type: string;
  input: unknown;
  timeoutSeconds: number;
  labels: Record<string, string>;
  traceparent: string | null;
  blobs: InputBlob[];
  interruptions: number;
  acceptedAtMs: number;
  admittedAtMs: number | null;
  queuedAtMs: number | null;
  startedAtMs: number;
}

export interface HeldLease {
  id: string;
  lease: number;
  /** Progress since the last renewal. */
  progress?: JobProgress;
}

/** `cancel`: renewed, but its owner wants it to end; `lost`: not ours any more, stop. */
export type RenewalVerdict = 'renewed' | 'cancel' | 'lost';

/** What became of a delivery. */
export type Outcome =
  | { outcome: 'succeeded'; result: unknown; blobs: { blobId: string; name: string; mediaType: string }[] }
  /** `delayMs` takes the place of the type's back-off. */
  | { outcome: 'failed'; error: JobError; delayMs?: number }
  | { outcome: 'cancelled'; error?: JobError }
  | { outcome: 'handed_back'; delayMs: number; error?: JobError };

export type Commit = { id: string; lease: number } & Outcome;

/** `fenced`: the lease was not current, so nothing was kept. */
export interface Committed {
  verdict: 'committed' | 'fenced';
  status: JobStatus | null;
}

interface ClaimRow {
  job_id: string;
  verdict: 'claimed' | ClaimRefusal;
  lease: number;
  attempt: number;
  namespace: string;
  type: string;
  input: unknown;
  timeout_seconds: number;
  labels: Record<string, string>;
  traceparent: string | null;
  blobs: InputBlob[] | null;
  interruptions: number;
  accepted_at: Date;
  admitted_at: Date | null;
  queued_at: Date | null;
  started_at: Date;
}

/** One call to a provider, with its limits over all workers; 0 is none. */
export interface SpentBudget {
  name: string;
  perSecond: number;
  perDay: number;
  perMonth?: number;
  /** How many calls it counts as. Defaults to 1. */
  weight?: number;
  maxWaitMs: number;
}

export interface WorkerIdentity {
  /** Opens the pool's namespace and types. */
  secret: string;
  /** Unique per process. */
  workerId: string;
  leaseSeconds: number;
}

/**
 * The ledger as a worker may see it: functions that take the pool's secret, and nothing else. Each method is one
 * statement, so a transaction pooler may stand between.
 */
export class WorkerLedger {
  readonly #db: Queryable;
  readonly #identity: WorkerIdentity;

  constructor(db: Queryable, identity: WorkerIdentity) {
    this.#db = db;
    this.#identity = identity;
  }

  /** Claims in one statement; answers in the order of `requests`. */
  async claim(requests: readonly ClaimRequest[]): Promise<(ClaimedJob | { refused: ClaimRefusal })[]> {
    const { secret, workerId, leaseSeconds } = this.#identity;
    const { rows } = await this.#db.query<ClaimRow>(
      '/* claim */ select * from longshore.claim_jobs($1, $2, $3, $4)',
      [secret, workerId, leaseSeconds, JSON.stringify(requests)],
    );
    // A stale entry and a current one of the same job may come in one batch: each answer goes to its own request.
    const byId = Map.groupBy(rows, (row) => row.job_id);
    return requests.map((request) => {
      const answers = byId.get(request.id) ?? [];
      const granted = answers.find((row) => row.verdict === 'claimed' && row.lease === request.lease + 1);
      const row = granted ?? answers.find(({ verdict }) => verdict !== 'claimed');
      if (row === undefined) return { refused: 'missing' };
      answers.splice(answers.indexOf(row), 1);
      return row.verdict === 'claimed' ? toClaimedJob(row) : { refused: row.verdict };
    });
  }

  /** Renews all leases in one statement, hands in progress, keeps the worker's session fresh. */
  async renew(
    leases: readonly HeldLease[],
    session: { types: readonly string[]; concurrency: number },
  ): Promise<Map<string, RenewalVerdict>> {
    const { secret, workerId, leaseSeconds } = this.#identity;
    const { rows } = await this.#db.query<{ job_id: string; verdict: RenewalVerdict }>(
      '/* renew */ select * from longshore.renew_leases($1, $2, $3, $4, $5, $6)',
      [secret, workerId, leaseSeconds, session.types, session.concurrency, JSON.stringify(leases)],
    );
    return new Map(rows.map((row) => [row.job_id, row.verdict]));
  }

  /**
   * Commits outcomes in one transaction; answers in the order of `commits`. Repeating a commit whose answer was lost is
   * safe: the lease lets it through once, and the second answer is the first's.
   */
  async commit(commits: readonly Commit[]): Promise<Committed[]> {
    const { rows } = await this.#db.query<{
      job_id: string;
      verdict: Committed['verdict'];
      status: JobStatus | null;
    }>('/* commit */ select * from longshore.commit_jobs($1, $2)', [
      this.#identity.secret,
      JSON.stringify(commits),
    ]);
    const byId = new Map(rows.map((row) => [row.job_id, row]));
    return commits.map(({ id }) => {
      const row = byId.get(id);
      return row === undefined
        ? { verdict: 'fenced', status: null }
        : { verdict: row.verdict, status: row.status };
    });
  }

  async endSession(): Promise<void> {
    await this.#db.query('/* end-session */ select longshore.end_session($1, $2)', [
      this.#identity.secret,
      this.#identity.workerId,
    ]);
  }

  /** Asks a provider's budget for a call of this weight; a granted wait is reserved, one longer than `maxWaitMs` is only told. */
  async takeBudget(budget: SpentBudget): Promise<{ granted: boolean; waitMs: number }> {
    const { name, perSecond, perDay, perMonth = 0, weight = 1, maxWaitMs } = budget;
    const { rows } = await this.#db.query<{ granted: boolean; wait_ms: number }>(
      '/* budget */ select * from longshore.spend_budget($1, $2, $3, $4, $5, $6, $7)',
      [this.#identity.secret, name, perSecond, perDay, perMonth, weight, maxWaitMs],
    );
    const row = rows[0];
    if (row === undefined) throw new Error('spend_budget answered no row');
    return { granted: row.granted, waitMs: row.wait_ms };
  }

  /** Keeps every worker from a provider for so long, at most an hour; what was granted already is not taken back. */
  async pauseBudget(name: string, forMs: number): Promise<void> {
    await this.#db.query('/* budget-pause */ select longshore.pause_budget($1, $2, $3)', [
      this.#identity.secret,
      name,
      forMs,
    ]);
  }

  /** Calls a function that was made for a type of job; see `Procedure` of the handlers. */
  async call(name: string, job: { id: string; lease: number }, payload: unknown): Promise<unknown> {
    if (!/^[a-z][a-z_]{0,62}$/.test(name)) throw new TypeError(`"${name}" is no name of a function`);
    try {
      const { rows } = await this.#db.query<{ answer: unknown }>(
        `/* procedure */ select longshore.${name}($1, $2, $3, $4) as answer`,
        [this.#identity.secret, job.id, job.lease, JSON.stringify(payload)],
      );
      return rows[0]?.answer ?? null;
    } catch (cause) {
      if (isSerializationFailure(cause))
        throw new RetryableError('SerializationFailure', 'Another transaction was first', { cause });
      if (isUnavailable(cause))
        throw new RetryableError('LedgerUnavailable', 'The ledger cannot be reached', { cause });
      throw cause;
    }
  }

  /** The whole content of an input blob of the claimed job. */
  async readBlob(
    job: { id: string; lease: number },
    blob: { blobId: string; bytes: number },
  ): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for (let n = 0; n * BLOB_CHUNK_BYTES < blob.bytes; n += 1) {
      const { rows } = await this.#db.query<{ data: Buffer | null }>(
        '/* blob-read */ select longshore.read_blob_chunk($1, $2, $3, $4, $5) as data',
        [this.#identity.secret, job.id, job.lease, blob.blobId, n],
      );
      const data = rows[0]?.data;
      if (data === undefined || data === null) break;
      chunks.push(data);
    }
    return Buffer.concat(chunks);
  }

  /** Stores a result blob; it belongs to the job only when the result that names it commits. */
  async writeBlob(
    job: { id: string; lease: number },
    content: Uint8Array,
  ): Promise<{ blobId: string; sha256: string; bytes: number }> {
    const id = uuidv7();
    for (let n = 0; n * BLOB_CHUNK_BYTES < content.byteLength; n += 1) {
      await this.#db.query('/* blob-write */ select longshore.write_blob_chunk($1, $2, $3, $4, $5, $6)', [
        this.#identity.secret,
        job.id,
        job.lease,
        id,
        n,
        content.subarray(n * BLOB_CHUNK_BYTES, (n + 1) * BLOB_CHUNK_BYTES),
      ]);
    }
    const sha256 = createHash('sha256').update(content).digest('hex');
    const { rows } = await this.#db.query<{ id: string }>(
      '/* blob-finish */ select longshore.finish_blob($1, $2, $3, $4, $5, $6) as id',
      [this.#identity.secret, job.id, job.lease, id, sha256, content.byteLength],
    );
    return { blobId: rows[0]?.id ?? id, sha256, bytes: content.byteLength };
  }
}

function toClaimedJob(row: ClaimRow): ClaimedJob {
  return {
    id: row.job_id,
    lease: row.lease,
    attempt: row.attempt,
    namespace: row.namespace,
    type: row.type,
    input: row.input,
    timeoutSeconds: row.timeout_seconds,
    labels: row.labels,
    traceparent: row.traceparent,
    blobs: row.blobs ?? [],
    interruptions: row.interruptions,
    acceptedAtMs: row.accepted_at.getTime(),
    admittedAtMs: row.admitted_at?.getTime() ?? null,
    queuedAtMs: row.queued_at?.getTime() ?? null,
    startedAtMs: row.started_at.getTime(),
  };
}
