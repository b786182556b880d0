import { forEachLimited } from '../core/for-each-limited.ts';
import { ANNOTATIONS, CANCEL_JOB_FINALIZER } from '../core/kinds/meta.ts';
import { QUEUE_JOB, type QueueJob, type QueueJobStatus } from '../core/kinds/queue-job.ts';
import type { Logger } from '../core/logger.ts';
import { type ManifestSource, toQueueJob } from '../core/queue-job-manifest.ts';
import { statusPatch } from '../core/queue-job-status.ts';
import type { KubeClient } from '../kube/client.ts';
import { isAlreadyExists, isForbidden, isNotFound, KubeApiError } from '../kube/kube-api-error.ts';
import type { KubeObject, ResourceType } from '../kube/resource-type.ts';
import type { Database } from '../ledger/database.ts';
import { cancelJobs } from '../ledger/jobs.ts';
import { readInput, readManifestSources, releaseProjections } from '../ledger/projections.ts';

/** Calls to the API server at once: about what it executes at full speed; more would only wait there. */
const CONCURRENT_CALLS = 16;
/** QueueJobs whose sources are read from the ledger at once. */
const BATCH = 200;

const NAMESPACE: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
};

export interface QueueJobWriterOptions {
  client: KubeClient;
  db: Database;
  logger: Logger;
}

/** Every write to QueueJobs. Each may be repeated, and none touches another object of the same name. */
export class QueueJobWriter {
  readonly #options: QueueJobWriterOptions;
  /** Ids of jobs whose QueueJob is being made. */
  readonly #making = new Set<string>();
  /** Uids whose deletion was asked for, or is about to be. */
  readonly #deleted = new Set<string>();

  constructor(options: QueueJobWriterOptions) {
    this.#options = options;
  }

  /**
   * Makes the QueueJobs of jobs; one that is there already is fine, and an applied job needs none. Answers the ids of the jobs that have none now.
   * Jobs of a namespace that is gone are cancelled. Once the signal aborts the rest is left out, and answered as such.
   * Those that another call is about to make are left to it.
   */
  async create(ids: readonly string[], signal: AbortSignal): Promise<string[]> {
    const ours = ids.filter((id) => !this.#making.has(id));
    for (const id of ours) this.#making.add(id);
    try {
      return await this.#createAll(ours, signal);
    } finally {
      for (const id of ours) this.#making.delete(id);
    }
  }

  async #createAll(ids: readonly string[], signal: AbortSignal): Promise<string[]> {
    const failed: string[] = [];
    let isAway = false;
    for (let start = 0; start < ids.length; start += BATCH) {
      const batch = ids.slice(start, start + BATCH);
      if (isAway || signal.aborted) {
        failed.push(...batch);
        continue;
      }
      const sources = await readManifestSources(this.#options.db, batch);
      await forEachLimited(sources, CONCURRENT_CALLS, async (source) => {
        const outcome = isAway ? 'away' : await this.#createOne(source, signal);
        if (outcome === 'away') isAway = true;
        if (outcome !== 'made') failed.push(source.id);
      });
    }
    return failed;
  }

  /** A job whose QueueJob is refused goes on all the same; an API server that is away is not asked for the next one. */
  async #createOne(
    source: ManifestSource & { isLarge: boolean },
    signal: AbortSignal,
  ): Promise<'made' | 'refused' | 'away'> {
    const { client, db, logger } = this.#options;
    const input = source.isLarge ? await readInput(db, source.id) : source.input;
    try {
      await client.create<QueueJob>(QUEUE_JOB, toQueueJob({ ...source, input }, Date.now()), { signal });
      return 'made';
    } catch (error) {
      if (signal.aborted) return 'away';
      if (isAlreadyExists(error)) return 'made';
      if (
        (isNotFound(error) || isForbidden(error)) &&
        (await this.#isNamespaceGone(source.namespace, signal))
      ) {
        logger.warn(
          { job_id: source.id, namespace: source.namespace },
          'Cancelled a job whose namespace is gone',
        );
        await cancelJobs(db, source.namespace, [source.id]);
        await releaseProjections(db, [source.id]);
        return 'made';
      }
      logger.warn({ err: error, job_id: source.id }, 'Failed to create a QueueJob');
      return error instanceof KubeApiError &&
        (error.status === 0 || error.status === 429 || error.status >= 500)
        ? 'away'
        : 'refused';
    }
  }

  async #isNamespaceGone(name: string, signal: AbortSignal): Promise<boolean> {
    try {
      const found = await this.#options.client.get<KubeObject>(NAMESPACE, { name }, { signal });
      return found.metadata.deletionTimestamp !== undefined;
    } catch (error) {
      return isNotFound(error);
    }
  }

  /** Deletes objects; one that is gone is fine. Rejects with the first failure: the others may not have been asked for. */
  async delete(objects: readonly QueueJob[], signal: AbortSignal): Promise<void> {
    // The store shows them for a while: neither it nor whoever comes to the same conclusion meanwhile asks twice.
    const ours = objects.filter(({ metadata }) => !this.#deleted.has(metadata.uid ?? ''));
    const open = new Set(ours.map(({ metadata }) => metadata.uid ?? ''));
    for (const uid of open) this.#deleted.add(uid);
    try {
      await forEachLimited(ours, CONCURRENT_CALLS, async ({ metadata }) => {
        const { uid = '' } = metadata;
        // A conflict is a failure, too: it says that nothing was deleted, not that the object is another one by now.
        try {
          await this.#options.client.delete(QUEUE_JOB, metadata, { uid, signal });
          open.delete(uid);
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
      });
    } finally {
      for (const uid of open) this.#deleted.delete(uid);
    }
  }

  /** To be told of each object that is gone. */
  forget(uid: string): void {
    this.#deleted.delete(uid);
  }

  /**
   * Writes a status without reading first. A conflict is a failure like any other: busy objects give one, too, not only
   * those that are others by now.
   *
   * @returns Whether it was written: there was something to write, and an object to write it to.
   */
  async writeStatus(
    { metadata }: QueueJob,
    before: QueueJobStatus | undefined,
    status: QueueJobStatus,
    signal: AbortSignal,
  ): Promise<boolean> {
    const patch = statusPatch(before, status);
    if (patch === null) return false;
    const body = { metadata: { uid: metadata.uid }, status: patch };
    try {
      await this.#options.client.patchStatusMerge<QueueJob>(QUEUE_JOB, metadata, body, { signal });
      return true;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return false;
    }
  }

  /** Puts our finalizer and the job's id onto an applied QueueJob; fails when it was changed meanwhile. */
  async mark(object: QueueJob, jobId: string, signal: AbortSignal): Promise<QueueJob> {
    const { metadata } = object;
    const others = (metadata.finalizers ?? []).filter((name) => name !== CANCEL_JOB_FINALIZER);
    const body = {
      metadata: {
        uid: metadata.uid,
        resourceVersion: metadata.resourceVersion,
        finalizers: [...others, CANCEL_JOB_FINALIZER],
        annotations: { [ANNOTATIONS.jobId]: jobId },
      },
    };
    return this.#options.client.patchMerge<QueueJob>(QUEUE_JOB, metadata, body, { signal });
  }

  async removeFinalizer({ metadata }: QueueJob, signal: AbortSignal): Promise<void> {
    const finalizers = (metadata.finalizers ?? []).filter((name) => name !== CANCEL_JOB_FINALIZER);
    const body = { metadata: { uid: metadata.uid, resourceVersion: metadata.resourceVersion, finalizers } };
    try {
      await this.#options.client.patchMerge<QueueJob>(QUEUE_JOB, metadata, body, { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}
