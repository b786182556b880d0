import { QUEUE_JOB_REASONS, type QueueJob } from '../core/kinds/queue-job.ts';
import type { TypeLookup } from '../core/known-type.ts';
import { judgeQueueJob, type Refusal, specSha256 } from '../core/queue-job-adoption.ts';
import type { WebhookRules } from '../core/webhook-url.ts';
import type { ObjectStore } from '../kube/store.ts';
import type { Database } from '../ledger/database.ts';
import { adoptJob } from '../ledger/projections.ts';
import { findKeyedJobId } from '../ledger/unique-keys.ts';
import type { QueueJobWriter } from './queue-job-writer.ts';

export interface AdopterOptions {
  db: Database;
  store: ObjectStore<QueueJob>;
  writer: QueueJobWriter;
  types: TypeLookup;
  webhooks: WebhookRules;
  /** How long an unknown type may become known: a pool that is applied together with its jobs. Defaults to 30 s. */
  unknownTypeGraceMs?: number;
}

export type Adopted =
  | { outcome: 'adopted'; jobId: string }
  | { outcome: 'refused'; refusal: Refusal }
  | { outcome: 'later'; againInMs: number };

/** As long as the ledger keeps jobs: the key means the first job while there is one. */
const IDEMPOTENCY_SECONDS = 30 * 86_400;

/** Takes applied QueueJobs into the ledger: judged, marked with the finalizer, then accepted, each once. */
export class Adopter {
  readonly #options: AdopterOptions;
  readonly #graceMs: number;

  constructor(options: AdopterOptions) {
    this.#options = options;
    this.#graceMs = options.unknownTypeGraceMs ?? 30_000;
  }

  async adopt(object: QueueJob, signal: AbortSignal): Promise<Adopted> {
    const { db, store, writer, types, webhooks } = this.#options;
    const namespace = object.metadata.namespace ?? '';
    const nowMs = Date.now();
    const type = await types.get(namespace, object.spec.type);
    if (type === null) return this.#unknownType(object, nowMs);
    const judged = judgeQueueJob(object, { type, webhooks, nowMs });
    if ('refusal' in judged) return { outcome: 'refused', refusal: judged.refusal };
    const { job } = judged;
    const key = object.spec.idempotencyKey;
    const earlier = key === undefined ? null : await findKeyedJobId(db, namespace, 'idempotency', key);
    // The finalizer comes before the first outside effect: from here on the object cannot go without our knowing.
    store.upsert(await writer.mark(object, earlier ?? job.id, signal));
    const accepted = await adoptJob(db, {
      job,
      specSha256: specSha256(object.spec),
      idempotencyKey: key === undefined ? null : { key, ttlSeconds: IDEMPOTENCY_SECONDS },
    });
    if (accepted.outcome !== 'conflict' || key === undefined)
      return { outcome: 'adopted', jobId: accepted.jobId };
    const message = `/spec/idempotencyKey: belongs to job ${accepted.jobId}, which was described differently`;
    return { outcome: 'refused', refusal: { reason: QUEUE_JOB_REASONS.idempotencyKeyConflict, message } };
  }

  #unknownType(object: QueueJob, nowMs: number): Adopted {
    const ageMs = nowMs - (Date.parse(object.metadata.creationTimestamp ?? '') || 0);
    if (ageMs < this.#graceMs)
      return { outcome: 'later', againInMs: Math.min(2_000, this.#graceMs - ageMs + 10) };
    const message = `/spec/type: there is no job type "${object.spec.type}" in namespace ${object.metadata.namespace}`;
    return { outcome: 'refused', refusal: { reason: QUEUE_JOB_REASONS.invalidSpec, message } };
  }
}
