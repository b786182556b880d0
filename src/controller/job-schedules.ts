import { isDeepStrictEqual } from 'node:util';
import { untilAborted } from '../core/abort.ts';
import {
  jobScheduleStatus,
  judgeTemplate,
  type ScheduleFacts,
  type ScheduleRefusal,
} from '../core/job-schedule-status.ts';
import { JOB_SCHEDULE, JOB_SCHEDULE_REASONS, type JobSchedule } from '../core/kinds/job-schedule.ts';
import type { TypeLookup } from '../core/known-type.ts';
import type { Logger } from '../core/logger.ts';
import { nextFire } from '../core/schedule.ts';
import { readSchedule } from '../core/schedule-spec.ts';
import type { WebhookRules } from '../core/webhook-url.ts';
import type { KubeClient } from '../kube/client.ts';
import { isConflict, isNotFound } from '../kube/kube-api-error.ts';
import { type ReconcileContext, ReconcileLoop, type ReconcileResult } from '../kube/reconcile-loop.ts';
import { Reflector, type ReflectorEvent } from '../kube/reflector.ts';
import { parseKey, refKey } from '../kube/resource-type.ts';
import { ObjectStore } from '../kube/store.ts';
import { WorkQueue } from '../kube/work-queue.ts';
import type { Database } from '../ledger/database.ts';
import { countActive, deleteOrphanedSchedule, listResourceSchedules } from '../ledger/resource-schedules.ts';
import { putSchedule, type Schedule } from '../ledger/schedules.ts';
import { PeriodicService } from '../lifecycle/service.ts';
import type { KubernetesWindow } from './kubernetes-window.ts';

export interface JobSchedulesOptions {
  client: KubeClient;
  db: Database;
  window: KubernetesWindow;
  types: TypeLookup;
  webhooks: WebhookRules;
  logger: Logger;
  /** All namespaces when absent. */
  namespace?: string;
  /** Defaults to 60 s. */
  resyncMs?: number;
  /** A schedule's status is written at most this often for its fires. Defaults to 10 s. */
  statusMs?: number;
  /** A watch on which nothing arrives for this long is opened again. Defaults to 90 s. */
  watchIdleMs?: number;
  onReflectorEvent?(kind: string, event: ReflectorEvent): void;
}

/** A fire is shown this long after it was due: the ledger needs a moment. */
const FIRE_SHOWN_AFTER_MS = 3_000;
const LONGEST_WAIT_MS = 600_000;
const ALL = 1_000_000;

/** Keeps a row of the ledger for each JobSchedule, and shows what became of it. What fires them reads the ledger alone. */
export class JobSchedules {
  readonly #options: JobSchedulesOptions;
  readonly #store: ObjectStore<JobSchedule>;
  readonly #reflector: Reflector<JobSchedule>;

  constructor(options: JobSchedulesOptions) {
    this.#options = options;
    const { client, logger, namespace, watchIdleMs, onReflectorEvent } = options;
    this.#store = new ObjectStore<JobSchedule>({ logger });
    this.#reflector = new Reflector<JobSchedule>({
      client,
      type: JOB_SCHEDULE,
      store: this.#store,
      logger,
      namespace,
      ...(watchIdleMs === undefined ? {} : { idleTimeoutMs: watchIdleMs }),
      onEvent: (event) => onReflectorEvent?.(JOB_SCHEDULE.kind, event),
    });
  }

  get isSynced(): boolean {
    return this.#reflector.hasSynced;
  }

  get size(): number {
    return this.#store.size;
  }

  start(): void {
    this.#reflector.start();
  }

  waitForSync(signal: AbortSignal): Promise<void> {
    return this.#reflector.waitForSync(signal);
  }

  stop(): Promise<void> {
    return this.#reflector.stop();
  }

  /** Reconciles until the signal aborts. */
  async lead(signal: AbortSignal): Promise<void> {
    const { logger, resyncMs = 60_000 } = this.#options;
    const queue = new WorkQueue();
    const reconcile = this.#reconcile.bind(this);
    const loop = new ReconcileLoop({ name: 'job-schedules', queue, reconcile, logger });
    const unwatch = this.#store.onChange(({ key, before, after }) => {
      const { uid, generation } = before?.metadata ?? {};
      if (uid !== after?.metadata.uid || generation !== after?.metadata.generation) queue.add(key);
    });
    const resync = new PeriodicService({
      name: 'job-schedule-resync',
      intervalMs: resyncMs,
      logger,
      runOnce: async () => {
        for (const key of this.#store.keys()) queue.add(key);
        for (const key of await listResourceSchedules(this.#options.db)) queue.add(refKey(key));
        return { schedules: this.#store.size };
      },
    });
    loop.start();
    resync.start();
    await untilAborted(signal);
    unwatch();
    await Promise.all([resync.stop(), loop.stop()]);
  }

  async #reconcile(key: string, { signal }: ReconcileContext): Promise<ReconcileResult> {
    const { db } = this.#options;
    const { namespace = '', name } = parseKey(key);
    const object = this.#store.get(key);
    if (object === undefined || object.metadata.deletionTimestamp !== undefined) {
      await deleteOrphanedSchedule(db, namespace, name, null);
      return {};
    }
    const outcome = await this.#put(object, namespace, name);
    const schedule = 'refusal' in outcome ? null : outcome.schedule;
    // A schedule that must not fire has no row: what fires asks nobody else.
    if (schedule === null) await deleteOrphanedSchedule(db, namespace, name, null);
    const facts: ScheduleFacts | null =
      schedule === null ? null : { ...schedule, active: await countActive(db, namespace, name) };
    const refusal = 'refusal' in outcome ? outcome.refusal : null;
    await this.#writeStatus(object, { refusal, facts }, signal);
    await this.#keepHistory(object, namespace, name, signal);
    return this.#nextLook(refusal, schedule);
  }

  /** Writes the row of the schedule, or says why it has none. */
  async #put(
    object: JobSchedule,
    namespace: string,
    name: string,
  ): Promise<{ schedule: Schedule } | { refusal: ScheduleRefusal }> {
    const { db, types, webhooks } = this.#options;
    const nowMs = Date.now();
    // What is absent in the manifest is an empty input, as it is in a QueueJob.
    const spec = { ...object.spec, jobTemplate: { input: {}, ...object.spec.jobTemplate } };
    const plan = readSchedule(spec);
    if ('refusal' in plan)
      return { refusal: { reason: JOB_SCHEDULE_REASONS.invalidSchedule, message: `/spec${plan.refusal}` } };
    const type = await types.get(namespace, plan.job.type);
    if (type === null) {
      const message = `/spec/jobTemplate/type: there is no job type "${plan.job.type}" in namespace ${namespace}`;
      return { refusal: { reason: JOB_SCHEDULE_REASONS.unknownType, message } };
    }
    const refusal = judgeTemplate(object, { type, webhooks, nowMs });
    if (refusal !== null) return { refusal };
    const resourceUid = object.metadata.uid ?? '';
    await deleteOrphanedSchedule(db, namespace, name, resourceUid);
    const nextFireAtMs = plan.suspended ? null : nextFire(plan.timing, nowMs);
    const put = await putSchedule(db, { namespace, name, spec, resourceUid, nextFireAtMs });
    if (put.outcome !== 'owned') return put;
    const message = 'A schedule of this name was made over REST: delete that, or choose another name';
    return { refusal: { reason: JOB_SCHEDULE_REASONS.nameTaken, message } };
  }

  async #writeStatus(
    object: JobSchedule,
    state: { refusal: ScheduleRefusal | null; facts: ScheduleFacts | null },
    signal: AbortSignal,
  ): Promise<void> {
    const { metadata, status: before } = object;
    const status = jobScheduleStatus(object, { ...state, nowMs: Date.now() });
    if (isDeepStrictEqual(before, status)) return;
    const gone = Object.keys(before ?? {}).filter((field) => !(field in status));
    const patch = {
      metadata: { uid: metadata.uid },
      status: { ...Object.fromEntries(gone.map((field) => [field, null])), ...status },
    };
    try {
      const { client } = this.#options;
      this.#store.upsert(
        await client.patchStatusMerge<JobSchedule>(JOB_SCHEDULE, metadata, patch, { signal }),
      );
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  async #keepHistory(
    { spec }: JobSchedule,
    namespace: string,
    name: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { succeeded, failed } = spec.historyLimits ?? {};
    if (succeeded === undefined && failed === undefined) return;
    await this.#options.window.keepHistory(
      { namespace, name },
      { succeeded: succeeded ?? ALL, failed: failed ?? ALL },
      signal,
    );
  }

  #nextLook(refusal: ScheduleRefusal | null, schedule: Schedule | null): ReconcileResult {
    const { statusMs = 10_000 } = this.#options;
    if (refusal !== null)
      return { requeueAfterMs: refusal.reason === JOB_SCHEDULE_REASONS.unknownType ? 10_000 : 60_000 };
    if (schedule === null || schedule.nextFireAtMs === null) return {};
    const untilShownMs = schedule.nextFireAtMs + FIRE_SHOWN_AFTER_MS - Date.now();
    return { requeueAfterMs: Math.min(LONGEST_WAIT_MS, Math.max(statusMs, untilShownMs)) };
  }
}
