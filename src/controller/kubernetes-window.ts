import type { QueueJob } from '../core/kinds/queue-job.ts';
import { objectKey, refKey } from '../kube/resource-type.ts';
import type { ObjectStore } from '../kube/store.ts';
import { type Allotment, admitJobs } from '../ledger/admission.ts';
import type { Database } from '../ledger/database.ts';
import {
  type ReleasedJob,
  releaseExpired,
  releaseFinished,
  releaseHistory,
} from '../ledger/window-releases.ts';
import type { QueueJobWriter } from './queue-job-writer.ts';
import type { Window } from './window-port.ts';

/** QueueJobs whose time is up that are deleted in one batch. */
const EXPIRY_BATCH = 500;

export interface KubernetesWindowOptions {
  db: Database;
  writer: QueueJobWriter;
  store: ObjectStore<QueueJob>;
  /** Told of QueueJobs (by key) that could not be made or deleted now, so that nothing waits for the next resync. */
  onUndone(keys: readonly string[]): void;
}

/**
 * The window as QueueJobs: an admitted job is shown by one, and reconciling that puts the job onto its queue. The ledger
 * notes what is shown before the API server is told, so a crash in between leaves nothing that resync does not find.
 */
export class KubernetesWindow implements Window {
  readonly #options: KubernetesWindowOptions;

  constructor(options: KubernetesWindowOptions) {
    this.#options = options;
  }

  async admit(allotments: readonly Allotment[], signal: AbortSignal): Promise<number> {
    const { db, writer, onUndone } = this.#options;
    const jobs = await admitJobs(db, allotments, { dispatch: false });
    const ids = jobs.map(({ id }) => id);
    const failed = new Set(await writer.create(ids, signal));
    const undone = jobs.filter(({ id }) => failed.has(id));
    if (undone.length > 0) onUndone(undone.map(({ id, namespace }) => refKey({ namespace, name: id })));
    return jobs.length;
  }

  async makeRoom(namespace: string, wanted: number, least: number, signal: AbortSignal): Promise<number> {
    const released = await releaseFinished(this.#options.db, { namespace, wanted, least });
    await this.#delete(released, signal);
    return released.length;
  }

  /** Deletes the QueueJobs of finished jobs whose time is up. Answers how many. */
  async expire(signal: AbortSignal): Promise<number> {
    let total = 0;
    for (;;) {
      const released = await releaseExpired(this.#options.db, EXPIRY_BATCH);
      await this.#delete(released, signal);
      total += released.length;
      if (released.length < EXPIRY_BATCH) return total;
    }
  }

  /** Deletes the QueueJobs of a schedule's finished jobs beyond its history. Answers how many. */
  async keepHistory(
    schedule: { namespace: string; name: string },
    keep: { succeeded: number; failed: number },
    signal: AbortSignal,
  ): Promise<number> {
    const released = await releaseHistory(this.#options.db, schedule, keep);
    await this.#delete(released, signal);
    return released.length;
  }

  /** What is not in the store yet is deleted when it comes up: the ledger says that it shows nothing. */
  async #delete(released: readonly ReleasedJob[], signal: AbortSignal): Promise<void> {
    const objects = released.flatMap(({ objectNamespace, objectName, objectUid }) => {
      const object = this.#options.store.get(refKey({ namespace: objectNamespace, name: objectName }));
      return object !== undefined && (objectUid === null || object.metadata.uid === objectUid)
        ? [object]
        : [];
    });
    try {
      await this.#options.writer.delete(objects, signal);
    } catch (error) {
      this.#options.onUndone(objects.map(objectKey));
      throw error;
    }
  }
}
