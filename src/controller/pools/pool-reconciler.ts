import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { sanitizeText } from '../../core/errors.ts';
import { DRAIN_POOL_FINALIZER } from '../../core/kinds/meta.ts';
import {
  WORKER_POOL_DEFAULTS,
  WORKER_POOL_REASONS,
  type WorkerPool,
  type WorkerPoolStatus,
} from '../../core/kinds/worker-pool.ts';
import { childName } from '../../core/pool-manifests/names.ts';
import { fixedReplicas, renderPool } from '../../core/pool-manifests/render.ts';
import type { PoolSettings } from '../../core/pool-manifests/settings.ts';
import { findPodTrouble, type PodView } from '../../core/pool-pods.ts';
import type { ConnectionBudget, PoolRefusal } from '../../core/pool-refusal.ts';
import { isSameVerdict, type PoolFigures, workerPoolStatus } from '../../core/worker-pool-status.ts';
import { isForbidden, isInvalid, KubeApiError } from '../../kube/kube-api-error.ts';
import type { ReconcileContext, ReconcileResult } from '../../kube/reconcile-loop.ts';
import { parseKey } from '../../kube/resource-type.ts';
import type { Database } from '../../ledger/database.ts';
import { findJobType } from '../../ledger/job-types.ts';
import {
  deleteWorkerPool,
  listWorkerPools,
  pauseWorkerPool,
  putWorkerPool,
} from '../../ledger/worker-pools.ts';
import { type DeclaredType, judgePool } from './judge.ts';
import { drainPool } from './pool-drain.ts';
import type { PoolWatch } from './pool-watch.ts';
import type { PoolWriter } from './pool-writer.ts';

export interface PoolReconcilerOptions {
  db: Database;
  watch: PoolWatch;
  writer: PoolWriter;
  isShipped(type: string): boolean;
  settings(): Promise<PoolSettings>;
  connections(): Promise<ConnectionBudget>;
  figuresOf(pool: WorkerPool): PoolFigures | null;
  /** A status whose figures alone changed is written at most this often. Defaults to 10 s. */
  figuresMs?: number;
  /** Any status is written at most this often. Defaults to 1 s. */
  statusMs?: number;
  /** What is right already is applied again after this, should somebody have changed it. Defaults to 10 min. */
  reapplyMs?: number;
}

/** After a failure of the pods that may be ours, such as a Secret that is gone, everything is applied again this soon. */
const REPAIR_MS = 30_000;
const SEEN_MS = 2_000;

interface Applied {
  hash: string;
  atMs: number;
  refusal: PoolRefusal | null;
}

/** Makes Deployment, ScaledObject and the rest what a WorkerPool says, and says how it stands. */
export class PoolReconciler {
  readonly #options: Required<PoolReconcilerOptions>;
  /** What was applied last, by uid. */
  readonly #applied = new Map<string, Applied>();
  /** When a status was written last, by uid. */
  readonly #statusAtMs = new Map<string, number>();

  constructor(options: PoolReconcilerOptions) {
    this.#options = { figuresMs: 10_000, statusMs: 1_000, reapplyMs: 600_000, ...options };
  }

  async reconcile(key: string, { signal }: ReconcileContext): Promise<ReconcileResult> {
    const pool = this.#options.watch.pools.get(key);
    if (pool === undefined) {
      await this.#forget(key);
      return {};
    }
    if (pool.metadata.deletionTimestamp !== undefined) return this.#drain(pool, signal);
    const refusal = await this.#make(pool, signal);
    return this.#report(pool, refusal, signal);
  }

  /** Whoever took the finalizer off, or however the pool went: the ledger forgets it. */
  async #forget(key: string): Promise<void> {
    const { namespace = '', name } = parseKey(key);
    const known = await listWorkerPools(this.#options.db);
    for (const pool of known.filter((one) => one.namespace === namespace && one.name === name))
      await deleteWorkerPool(this.#options.db, pool);
  }

  async #drain(pool: WorkerPool, signal: AbortSignal): Promise<ReconcileResult> {
    const { uid = '' } = pool.metadata;
    if (!pool.metadata.finalizers?.includes(DRAIN_POOL_FINALIZER)) return {};
    const againInMs = await drainPool(pool, this.#options, signal);
    if (againInMs === null) {
      this.#applied.delete(uid);
      this.#statusAtMs.delete(uid);
      return {};
    }
    const { requeueAfterMs = againInMs } = await this.#report(pool, null, signal);
    return { requeueAfterMs: Math.min(againInMs, requeueAfterMs) };
  }

  /** Applies what differs. Answers why it could not. */
  async #make(pool: WorkerPool, signal: AbortSignal): Promise<PoolRefusal | null> {
    const { watch, isShipped, db, writer } = this.#options;
    const [settings, connections] = await Promise.all([
      this.#options.settings().catch(toMissingSetting),
      this.#options.connections(),
    ]);
    if ('reason' in settings) return settings;
    const judged = await judgePool(pool, {
      pools: [...watch.pools.values()],
      isShipped,
      isDeclared: async (namespace, type) => (await findJobType(db, namespace, type)) !== null,
      connections,
      settings,
    });
    if ('refusal' in judged) {
      await this.#holdBack(pool, judged.refusal);
      return judged.refusal;
    }
    const hash = hashOf(pool, settings, watch.kinds.extras);
    const before = this.#applied.get(pool.metadata.uid ?? '');
    if (before === undefined || before.hash !== hash || this.#isDue(pool, before)) {
      const marked = await writer.addFinalizer(pool, signal);
      if (marked !== null) watch.pools.upsert(marked);
      const refusal = await this.#apply(pool, settings, judged.declares, signal);
      this.#applied.set(pool.metadata.uid ?? '', { hash, atMs: performance.now(), refusal });
    }
    await this.#scaleByHand(pool, signal);
    return this.#applied.get(pool.metadata.uid ?? '')?.refusal ?? null;
  }

  /** The younger of two pools stops, so that the work of a type is counted once; other refusals leave it as it was. */
  async #holdBack(pool: WorkerPool, { reason }: PoolRefusal): Promise<void> {
    const { namespace = '', name, uid: resourceUid = '' } = pool.metadata;
    this.#applied.delete(resourceUid);
    if (reason === WORKER_POOL_REASONS.typeConflict && this.#options.watch.deploymentOf(pool) !== null)
      await pauseWorkerPool(this.#options.db, { namespace, name, resourceUid });
  }

  #isDue(pool: WorkerPool, { atMs, refusal }: Applied): boolean {
    const { watch, reapplyMs } = this.#options;
    const ageMs = performance.now() - atMs;
    // What was made a moment ago may not have been seen yet.
    if (refusal === null && watch.isMissingParts(pool)) return ageMs > SEEN_MS;
    const trouble = findPodTrouble(watch.deploymentOf(pool), watch.podsOf(pool));
    const mayBeOurs = refusal !== null || trouble?.reason === WORKER_POOL_REASONS.configMissing;
    return ageMs > (mayBeOurs ? Math.min(REPAIR_MS, reapplyMs) : reapplyMs);
  }

  async #apply(
    pool: WorkerPool,
    settings: PoolSettings,
    declares: DeclaredType[],
    signal: AbortSignal,
  ): Promise<PoolRefusal | null> {
    const { writer, watch, db } = this.#options;
    const { extras } = watch.kinds;
    const secret = await writer.poolSecret(pool, signal);
    const { namespace = '', name, uid: resourceUid = '' } = pool.metadata;
    const { concurrency, maxReplicas } = { ...WORKER_POOL_DEFAULTS, ...pool.spec };
    const { jobsPerReplica = concurrency, paused = false } = pool.spec;
    const ledgerPool = {
      namespace,
      name,
      types: pool.spec.types.map((type) => type.name),
      scale: { maxReplicas, jobsPerReplica, paused },
      resourceUid,
      capacity: maxReplicas * concurrency,
      declares,
    };
    const rendered = renderPool(pool, settings, secret, extras);
    const replicas = fixedReplicas(pool, extras.keda);
    try {
      // The Secret before the ledger: a secret that nobody kept would open the pool for nobody.
      await writer.apply(rendered.slice(0, 1), replicas, signal);
      await putWorkerPool(db, ledgerPool, secret);
      await writer.apply(rendered.slice(1), replicas, signal);
      return null;
    } catch (error) {
      if (error instanceof KubeApiError && isRefusal(error)) return refusedByServer(error);
      throw error;
    }
  }

  /** Without KEDA the number of pods is the controller's to keep. */
  async #scaleByHand(pool: WorkerPool, signal: AbortSignal): Promise<void> {
    const { watch, writer, figuresOf } = this.#options;
    const deployment = watch.deploymentOf(pool);
    if (watch.kinds.extras.keda || deployment === null) return;
    const replicas = fixedReplicas(pool, false);
    // A paused pool keeps its pods while they work.
    if (pool.spec.paused === true && (figuresOf(pool)?.active ?? 1) > 0) return;
    if (deployment.spec?.replicas === replicas) return;
    await writer.setReplicas({ ...pool.metadata, name: childName(pool.metadata.name) }, replicas, signal);
  }

  async #report(
    pool: WorkerPool,
    refusal: PoolRefusal | null,
    signal: AbortSignal,
  ): Promise<ReconcileResult> {
    const { watch, writer, figuresOf } = this.#options;
    const { uid = '' } = pool.metadata;
    const deployment = watch.deploymentOf(pool);
    const pods: PodView[] = watch.podsOf(pool);
    const status = workerPoolStatus(pool, {
      refusal,
      figures: figuresOf(pool),
      deployment,
      pods,
      hasKeda: watch.kinds.extras.keda,
      scaledObject: watch.scaledObjectOf(pool),
      nowMs: Date.now(),
    });
    if (isDeepStrictEqual(pool.status, status)) return this.#nextLook(pool, refusal);
    const waitMs = this.#waitForStatus(uid, pool.status, status);
    if (waitMs > 0) return { requeueAfterMs: waitMs };
    const written = await writer.writeStatus(pool, status, signal);
    this.#statusAtMs.set(uid, performance.now());
    if (written !== null) watch.pools.upsert(written);
    return this.#nextLook(pool, refusal);
  }

  #waitForStatus(uid: string, before: WorkerPoolStatus | undefined, after: WorkerPoolStatus): number {
    const { figuresMs, statusMs } = this.#options;
    const restMs = isSameVerdict(before, after) ? figuresMs : statusMs;
    return (this.#statusAtMs.get(uid) ?? Number.NEGATIVE_INFINITY) + restMs - performance.now();
  }

  /** When to come again although nothing happens: a type may be declared, a ScaledObject may be missing. */
  #nextLook(pool: WorkerPool, refusal: PoolRefusal | null): ReconcileResult {
    if (refusal !== null) return { requeueAfterMs: 10_000 };
    return this.#options.watch.isMissingParts(pool) ? { requeueAfterMs: SEEN_MS + 500 } : {};
  }
}

/** A field that the kind does not have is answered as an error of the server's own. */
function isRefusal(error: KubeApiError): boolean {
  const isUntyped = error.message.includes('failed to create typed patch object');
  return isUntyped || isInvalid(error) || isForbidden(error);
}

function refusedByServer(error: KubeApiError): PoolRefusal {
  const advice = isForbidden(error)
    ? 'give the controller this right, or the namespace the room'
    : 'correct the field that it names';
  const message = `The API server refused it: ${error.message.slice(0, 900)}; ${advice}`;
  const isQuota = error.message.includes('exceeded quota');
  return { reason: isQuota ? WORKER_POOL_REASONS.quotaExceeded : WORKER_POOL_REASONS.applyFailed, message };
}

function toMissingSetting(error: Error): PoolRefusal {
  const message = `The controller cannot read what pools are made with: ${sanitizeText(error.message, 900)}`;
  return { reason: WORKER_POOL_REASONS.configMissing, message };
}

function hashOf(pool: WorkerPool, settings: PoolSettings, extras: object): string {
  const text = JSON.stringify([pool.metadata.uid, pool.spec, settings, extras]);
  return createHash('sha256').update(text).digest('base64');
}
