import { isDeepStrictEqual } from 'node:util';
import { Batcher } from '../core/batcher.ts';
import type { QueueJob, QueueJobStatus } from '../core/kinds/queue-job.ts';
import type { ProjectedJob } from '../core/projected-job.ts';
import { specSha256 } from '../core/queue-job-adoption.ts';
import { type Observed, planQueueJob, type QueueJobAction } from '../core/queue-job-plan.ts';
import { refusedStatus } from '../core/queue-job-status.ts';
import type { ReconcileContext, ReconcileResult } from '../kube/reconcile-loop.ts';
import { objectKey, parseKey } from '../kube/resource-type.ts';
import type { ObjectStore, StoreChange } from '../kube/store.ts';
import type { Database } from '../ledger/database.ts';
import { cancelJobs, suspendJob } from '../ledger/jobs.ts';
import {
  findShownJobs,
  markProjected,
  type ObjectLookup,
  releaseProjections,
  type ShownJob,
} from '../ledger/projections.ts';
import type { Adopter } from './adopter.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { QueueJobWriter } from './queue-job-writer.ts';
import type { ServedTypes } from './served-types.ts';
import { TokenBucket } from './token-bucket.ts';

export interface QueueJobReconcilerOptions {
  db: Database;
  store: ObjectStore<QueueJob>;
  writer: QueueJobWriter;
  adopter: Adopter;
  dispatcher: Dispatcher;
  served: ServedTypes;
  /** Status writes a second of jobs that have not ended. Defaults to 20. */
  interimWritesPerSecond?: number;
}

/** A status that may wait, and could not be written now, is tried again after this. */
const TURN_MS = 250;
/** An object of which the API server said nothing for this long after a failed create is looked for again. */
const RECREATE_MS = 2_000;

/** Everything that one run knows. */
interface Run {
  key: string;
  object: QueueJob | null;
  shown: ShownJob | null;
  signal: AbortSignal;
}

/** Makes a QueueJob and its job agree, whatever made them differ. Ledger reads and dispatches of many keys are shared. */
export class QueueJobReconciler {
  readonly #options: QueueJobReconcilerOptions;
  readonly #jobs: Batcher<ObjectLookup, ShownJob | null>;
  readonly #dispatches: Batcher<string, void>;
  readonly #interim: TokenBucket;
  /** Statuses as they were written last, by uid, until the store has caught up: its objects may be older. */
  readonly #written = new Map<string, QueueJobStatus>();

  constructor(options: QueueJobReconcilerOptions) {
    this.#options = options;
    this.#interim = new TokenBucket(options.interimWritesPerSecond ?? 20);
    this.#jobs = new Batcher({
      flush: (lookups) => findShownJobs(options.db, lookups),
      maxItems: 200,
      maxDelayMs: 3,
      isIndivisible: () => true,
    });
    this.#dispatches = new Batcher({
      flush: async (ids) => {
        await options.dispatcher.dispatch(ids);
        return ids.map(() => undefined);
      },
      maxItems: 500,
      maxDelayMs: 3,
      isIndivisible: () => true,
    });
  }

  async reconcile(key: string, { signal }: ReconcileContext): Promise<ReconcileResult> {
    const { store } = this.#options;
    const { namespace = '', name } = parseKey(key);
    const uid = store.get(key)?.metadata.uid ?? null;
    const shown = await this.#jobs.add({ namespace, name, uid });
    // What was read of the object while the ledger answered is newer than what the lookup began with.
    const object = store.get(key) ?? null;
    if ((object?.metadata.uid ?? null) !== uid) return { requeueAfterMs: 0 };
    const run: Run = { key, object, shown, signal };
    const plan = planQueueJob(this.#observe(run));
    let againInMs = plan.againInMs ?? Number.POSITIVE_INFINITY;
    for (const action of plan.actions) {
      signal.throwIfAborted();
      againInMs = Math.min(againInMs, await this.#execute(action, run));
    }
    return Number.isFinite(againInMs) ? { requeueAfterMs: againInMs } : {};
  }

  /** To be told of each object that was read: what was written last is remembered until it is. */
  onChange({ before, after }: StoreChange<QueueJob>): void {
    const uid = before?.metadata.uid ?? after?.metadata.uid ?? '';
    const written = this.#written.get(uid);
    if (written === undefined) return;
    if (after?.metadata.uid !== uid || isDeepStrictEqual(written, after.status)) this.#written.delete(uid);
  }

  #observe({ object, shown }: Run): Observed {
    const job = shown?.job ?? null;
    const mayDiffer = object !== null && (object.metadata.generation ?? 1) > 1;
    const accepted = shown?.specSha256 ?? null;
    return {
      object,
      job,
      nowMs: Date.now(),
      status: object === null ? undefined : this.#statusOf(object),
      served: job === null || this.#options.served.has(job.namespace, job.type),
      specChanged: mayDiffer && accepted !== null && accepted !== specSha256(object.spec),
    };
  }

  #statusOf(object: QueueJob): QueueJobStatus | undefined {
    const { uid = '' } = object.metadata;
    const newest = this.#options.store.get(objectKey(object));
    return this.#written.get(uid) ?? (newest?.metadata.uid === uid ? newest : object).status;
  }

  /** @returns When to come again because of it; infinity for no need. */
  async #execute(action: QueueJobAction, run: Run): Promise<number> {
    if (action.do === 'create') return this.#create(run);
    if (action.do === 'adopt') return this.#adopt(run);
    if (action.do === 'writeStatus') {
      if (!action.urgent && !this.#interim.take()) return TURN_MS;
      await this.#writeStatus(run, action.status);
    } else {
      if (run.shown !== null) await this.#changeJob(action, run.shown.job);
      if (run.object !== null) await this.#changeObject(action, run.object, run);
    }
    return Number.POSITIVE_INFINITY;
  }

  async #changeJob(action: QueueJobAction, { id, namespace }: ProjectedJob): Promise<void> {
    const { db } = this.#options;
    if (action.do === 'dispatch') await this.#dispatches.add(id);
    else if (action.do === 'cancel') await cancelJobs(db, namespace, [id]);
    else if (action.do === 'suspend') await suspendJob(db, id, action.suspended);
    else if (action.do === 'release') await releaseProjections(db, [id]);
  }

  async #changeObject(action: QueueJobAction, object: QueueJob, { shown, signal }: Run): Promise<void> {
    const { writer, store } = this.#options;
    if (action.do === 'delete') await writer.delete([object], signal);
    else if (action.do === 'removeFinalizer') await writer.removeFinalizer(object, signal);
    else if (action.do === 'mark' && shown !== null)
      store.upsert(await writer.mark(object, shown.job.id, signal));
  }

  async #create({ shown, signal }: Run): Promise<number> {
    const id = shown?.job.id;
    if (id === undefined) return Number.POSITIVE_INFINITY;
    // Cancelled or finished meanwhile: nothing is left to show.
    const projected = await markProjected(this.#options.db, [id]);
    const failed = await this.#options.writer.create(projected, signal);
    return failed.length > 0 ? RECREATE_MS : Number.POSITIVE_INFINITY;
  }

  async #adopt(run: Run): Promise<number> {
    const { object, signal } = run;
    if (object === null) return Number.POSITIVE_INFINITY;
    const adopted = await this.#options.adopter.adopt(object, signal);
    if (adopted.outcome === 'later') return adopted.againInMs;
    if (adopted.outcome === 'adopted') return 0;
    const before = this.#statusOf(object);
    const { generation } = object.metadata;
    await this.#writeStatus(run, refusedStatus(adopted.refusal, { generation, before, nowMs: Date.now() }));
    return 0;
  }

  async #writeStatus({ object, signal }: Run, status: QueueJobStatus): Promise<void> {
    if (object === null) return;
    const wrote = await this.#options.writer.writeStatus(object, this.#statusOf(object), status, signal);
    if (wrote) this.#written.set(object.metadata.uid ?? '', status);
  }
}
