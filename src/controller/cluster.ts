import { untilAborted } from '../core/abort.ts';
import { QUEUE_JOB, type QueueJob } from '../core/kinds/queue-job.ts';
import type { TypeLookup } from '../core/known-type.ts';
import type { Logger } from '../core/logger.ts';
import type { WebhookRules } from '../core/webhook-url.ts';
import type { KubeClient } from '../kube/client.ts';
import { ReconcileLoop } from '../kube/reconcile-loop.ts';
import { Reflector, type ReflectorEvent } from '../kube/reflector.ts';
import { refKey } from '../kube/resource-type.ts';
import type { ObjectStore } from '../kube/store.ts';
import { WorkQueue } from '../kube/work-queue.ts';
import type { Database } from '../ledger/database.ts';
import type { LedgerListener } from '../ledger/listener.ts';
import { listWindowJobs } from '../ledger/projections.ts';
import { PeriodicService } from '../lifecycle/service.ts';
import { Adopter } from './adopter.ts';
import type { Dispatcher } from './dispatcher.ts';
import { JobSchedules } from './job-schedules.ts';
import { KubernetesWindow } from './kubernetes-window.ts';
import { type PoolOptions, WorkerPools } from './pools/worker-pools.ts';
import { QueueJobReconciler } from './queue-job-reconciler.ts';
import { createQueueJobStore, isWorthReconciling } from './queue-job-store.ts';
import { QueueJobWriter } from './queue-job-writer.ts';
import { ServedTypes } from './served-types.ts';

export interface ClusterOptions {
  client: KubeClient;
  db: Database;
  dispatcher: Dispatcher;
  listener: LedgerListener;
  types: TypeLookup;
  webhooks: WebhookRules;
  logger: Logger;
  /** What WorkerPools are made with; they are left alone when absent. */
  pools?: PoolOptions;
  /** All namespaces when absent. */
  namespace?: string;
  /** Defaults to 60 s. */
  resyncMs?: number;
  /** How often QueueJobs whose time is up are looked for. Defaults to 5 s. */
  expiryMs?: number;
  unknownTypeGraceMs?: number;
  /** A watch on which nothing arrives for this long is opened again. Defaults to 90 s. */
  watchIdleMs?: number;
  onReflectorEvent?(kind: string, event: ReflectorEvent): void;
  onRound?(service: string, round: { failed: boolean; durationMs: number }): void;
}

/** Keys that are reconciled at once: most of the time they wait for shared ledger reads. */
const CONCURRENCY = 64;
const PAGE = 1_000;
const MADE_WITHIN_MS = 3_000;
/** What the API server did not do is tried again after this: it may be away. */
const UNDONE_MS = 2_000;

/** The controller's side towards Kubernetes: what is seen there, and the leader's work on it. */
export class Cluster {
  readonly window: KubernetesWindow;
  readonly #options: ClusterOptions;
  readonly #store: ObjectStore<QueueJob>;
  readonly #reflector: Reflector<QueueJob>;
  readonly #writer: QueueJobWriter;
  readonly #schedules: JobSchedules;
  readonly #pools: WorkerPools | undefined;
  /** While leading. */
  #queue: WorkQueue | undefined;

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { client, db, logger, namespace, watchIdleMs, onReflectorEvent } = options;
    this.#store = createQueueJobStore(logger);
    this.#writer = new QueueJobWriter({ client, db, logger });
    this.window = new KubernetesWindow({
      db,
      writer: this.#writer,
      store: this.#store,
      onUndone: (keys) => {
        for (const key of keys) this.#queue?.addAfter(key, UNDONE_MS);
      },
    });
    this.#store.onChange(({ before, after }) => {
      if (before !== undefined && after?.metadata.uid !== before.metadata.uid)
        this.#writer.forget(before.metadata.uid ?? '');
    });
    this.#reflector = new Reflector<QueueJob>({
      client,
      type: QUEUE_JOB,
      store: this.#store,
      logger,
      namespace,
      ...(watchIdleMs === undefined ? {} : { idleTimeoutMs: watchIdleMs }),
      onEvent: (event) => onReflectorEvent?.(QUEUE_JOB.kind, event),
    });
    this.#schedules = new JobSchedules({ ...options, window: this.window });
    const { pools } = options;
    this.#pools = pools === undefined ? undefined : new WorkerPools({ ...options, ...pools });
  }

  get isSynced(): boolean {
    return this.#reflector.hasSynced && this.#schedules.isSynced && (this.#pools?.isSynced ?? true);
  }

  /** Objects seen of each kind, for metrics. */
  get sizes(): { QueueJob: number; JobSchedule: number; WorkerPool: number } {
    return {
      QueueJob: this.#store.size,
      JobSchedule: this.#schedules.size,
      WorkerPool: this.#pools?.size ?? 0,
    };
  }

  /** Begins to watch, leader or not, so that a new leader knows the world already. */
  start(): void {
    this.#reflector.start();
    this.#schedules.start();
    this.#pools?.start();
  }

  /** Resolves when everything has been seen once; rejects with the signal's reason when that comes first. */
  async waitForSync(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#reflector.waitForSync(signal),
      this.#schedules.waitForSync(signal),
      this.#pools?.waitForSync(signal),
    ]);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#reflector.stop(), this.#schedules.stop(), this.#pools?.stop()]);
  }

  /** Reconciles until the signal aborts; resolves when everything has stopped. */
  async lead(signal: AbortSignal): Promise<void> {
    await this.waitForSync(signal);
    await Promise.all([this.#leadQueueJobs(signal), this.#schedules.lead(signal), this.#pools?.lead(signal)]);
  }

  async #leadQueueJobs(signal: AbortSignal): Promise<void> {
    const { db, listener, logger } = this.#options;
    const served = new ServedTypes({ db });
    const reconciler = this.#createReconciler(served);
    const queue = new WorkQueue();
    this.#queue = queue;
    const reconcile = reconciler.reconcile.bind(reconciler);
    const loop = new ReconcileLoop({
      name: 'queue-jobs',
      queue,
      reconcile,
      logger,
      concurrency: CONCURRENCY,
    });

    const unwatch = this.#store.onChange((change) => {
      reconciler.onChange(change);
      if (isWorthReconciling(change)) queue.add(change.key);
    });
    const onChanges = (ids: string[]) => {
      for (const id of ids) this.#enqueueJob(queue, id);
    };
    listener.on('changes', onChanges);
    const services = [
      this.#service('served-types', 2_000, async () => ({ types: await served.refresh() })),
      this.#service('queue-job-expiry', this.#options.expiryMs ?? 5_000, async (signal) => ({
        deleted: await this.window.expire(signal),
      })),
      this.#service('queue-job-resync', this.#options.resyncMs ?? 60_000, (signal) =>
        this.#resync(queue, signal),
      ),
    ];
    const onConnected = () => services.at(-1)?.wake();
    listener.on('connected', onConnected);
    await served.refresh().catch(() => 0);
    loop.start();
    for (const service of services) service.start();
    await untilAborted(signal);
    unwatch();
    this.#queue = undefined;
    listener.off('changes', onChanges).off('connected', onConnected);
    await Promise.all([...services.map((service) => service.stop()), loop.stop()]);
  }

  #createReconciler(served: ServedTypes): QueueJobReconciler {
    const { db, dispatcher, types, webhooks, unknownTypeGraceMs } = this.#options;
    const writer = this.#writer;
    const store = this.#store;
    const adopter = new Adopter({
      db,
      store,
      writer,
      types,
      webhooks,
      ...(unknownTypeGraceMs === undefined ? {} : { unknownTypeGraceMs }),
    });
    return new QueueJobReconciler({ db, store, writer, adopter, dispatcher, served });
  }

  /** A job that no QueueJob shows needs nothing here; one that is being made comes up when it is seen. */
  #enqueueJob(queue: WorkQueue, id: string): void {
    for (const { metadata } of this.#store.byIndex('jobId', id)) queue.add(refKey(metadata));
  }

  /** Looks at every QueueJob, and at every job that should have one: repairs whatever was lost in either direction. */
  async #resync(queue: WorkQueue, signal: AbortSignal): Promise<{ objects: number; missing: number }> {
    for (const key of this.#store.keys()) queue.add(key);
    let missing = 0;
    let afterId: string | null = null;
    for (;;) {
      const jobs = await listWindowJobs(this.#options.db, { afterId, limit: PAGE });
      for (const job of jobs) {
        if (this.#store.byIndex('jobId', job.id).length > 0) continue;
        missing += 1;
        // One that was admitted a moment ago is being made, or is on its way to us.
        const ageMs = Date.now() - (job.admittedAtMs ?? job.acceptedAtMs);
        const key = refKey(job.resource ?? { namespace: job.namespace, name: job.id });
        queue.addAfter(key, Math.max(0, Math.min(MADE_WITHIN_MS, MADE_WITHIN_MS - ageMs)));
      }
      if (jobs.length < PAGE || signal.aborted) return { objects: this.#store.size, missing };
      afterId = jobs.at(-1)?.id ?? null;
    }
  }

  #service(
    name: string,
    intervalMs: number,
    runOnce: (signal: AbortSignal) => Promise<object>,
  ): PeriodicService {
    const { logger, onRound } = this.#options;
    return new PeriodicService({
      name,
      intervalMs,
      runOnce,
      logger,
      onRound: (round) => onRound?.(name, round),
    });
  }
}
