import type { WorkerPool } from '../../core/kinds/worker-pool.ts';
import { childName } from '../../core/pool-manifests/names.ts';
import { graceSeconds } from '../../core/pool-manifests/pod.ts';
import { isLivingPod } from '../../core/pool-pods.ts';
import type { Database } from '../../ledger/database.ts';
import { deleteWorkerPool, pauseWorkerPool } from '../../ledger/worker-pools.ts';
import type { PoolWatch } from './pool-watch.ts';
import type { PoolWriter } from './pool-writer.ts';

export interface DrainContext {
  db: Database;
  watch: PoolWatch;
  writer: PoolWriter;
}

/** How soon to look again; pods that go say so themselves. */
const LOOK_MS = 2_000;
/** A KEDA that does not run any more takes its finalizer off nothing; its ScaledObject scales nothing then either. */
const KEDA_MS = 30_000;
/** Pods of a node that is gone stay for ever; the leases of their jobs ran out long ago. */
const STUCK_MS = 300_000;

/**
 * One step of the end of a pool: nothing new is started, nobody scales any more, the pods end what they do, and then
 * everything goes. Answers when to come again; null when it is done.
 */
export async function drainPool(
  pool: WorkerPool,
  { db, watch, writer }: DrainContext,
  signal: AbortSignal,
): Promise<number | null> {
  const { namespace = '', name, uid: resourceUid = '', deletionTimestamp = '' } = pool.metadata;
  const sinceMs = Date.now() - (Date.parse(deletionTimestamp) || Date.now());
  await pauseWorkerPool(db, { namespace, name, resourceUid });
  if (watch.scaledObjectOf(pool) !== null) {
    await writer.deleteScaledObject(pool, signal);
    if (sinceMs < KEDA_MS) return LOOK_MS / 4;
  }
  const deployment = watch.deploymentOf(pool);
  if (deployment !== null && (deployment.spec?.replicas ?? 1) > 0)
    await writer.setReplicas({ namespace, name: childName(name) }, 0, signal);
  const { generation = 0 } = deployment?.metadata ?? {};
  const isUnseen = (deployment?.status?.observedGeneration ?? generation) < generation;
  const isBusy = isUnseen || (deployment?.spec?.replicas ?? 0) > 0 || watch.podsOf(pool).some(isLivingPod);
  if (isBusy && sinceMs < graceSeconds(pool.spec) * 1_000 + STUCK_MS) return LOOK_MS;
  await writer.deleteChildren(pool, watch.kinds.extras, signal);
  await deleteWorkerPool(db, { namespace, name, resourceUid });
  await writer.removeFinalizer(pool, signal);
  return null;
}
