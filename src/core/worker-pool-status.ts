import { type Condition, type ConditionUpdate, setCondition } from './conditions.ts';
import type { ObjectMeta } from './kinds/meta.ts';
import {
  WORKER_POOL_CONDITIONS,
  WORKER_POOL_REASONS,
  type WorkerPool,
  type WorkerPoolStatus,
} from './kinds/worker-pool.ts';
import { type DeploymentView, findPodTrouble, isLivingPod, isReadyPod, type PodView } from './pool-pods.ts';
import type { PoolRefusal } from './pool-refusal.ts';

/** What is read of a ScaledObject. */
export interface ScaledObjectView {
  metadata: ObjectMeta;
  status?: { conditions?: { type: string; status: string; reason?: string; message?: string }[] };
}

/** What the ledger says of a pool's work. */
export interface PoolFigures {
  queued: number;
  active: number;
  load: number;
  oldestWaitingSeconds: number;
}

/** Everything that a pool's status is made from. */
export interface PoolFacts {
  /** Why nothing was rendered. */
  refusal: PoolRefusal | null;
  /** Null while the ledger has not been asked. */
  figures: PoolFigures | null;
  deployment: DeploymentView | null;
  pods: readonly PodView[];
  hasKeda: boolean;
  scaledObject: ScaledObjectView | null;
  nowMs: number;
}

const REASONS = WORKER_POOL_REASONS;
const MAX_TYPES_TEXT = 4_096;

type Verdict = Pick<ConditionUpdate, 'status' | 'reason' | 'message'>;

/** The status that a pool should have. It is the same object in value when nothing changed, times included. */
export function workerPoolStatus(pool: WorkerPool, facts: PoolFacts): WorkerPoolStatus {
  const { generation } = pool.metadata;
  const { ready, scalerReady, progressing } = WORKER_POOL_CONDITIONS;
  const verdicts: [string, Verdict][] = [
    [ready, judgeReady(pool, facts)],
    [scalerReady, judgeScaler(pool, facts)],
    [progressing, judgeProgress(pool, facts)],
  ];
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  const conditions = verdicts.reduce<readonly Condition[]>(
    (before, [type, verdict]) => setCondition(before, { type, ...verdict, ...observed }, facts.nowMs),
    pool.status?.conditions ?? [],
  );
  return {
    ...observed,
    types: pool.spec.types
      .map((type) => type.name)
      .join(',')
      .slice(0, MAX_TYPES_TEXT),
    ...(facts.figures ?? {}),
    replicas: facts.deployment?.status?.replicas ?? 0,
    ready: readyPods(facts),
    conditions: [...conditions],
  };
}

/** Whether two statuses say the same to whoever acts on them: figures, which change all the time, aside. */
export function isSameVerdict(a: WorkerPoolStatus | undefined, b: WorkerPoolStatus): boolean {
  const essence = (status: WorkerPoolStatus | undefined) =>
    (status?.conditions ?? []).map((c) => `${c.type} ${c.status} ${c.reason} ${c.observedGeneration}`).join();
  return essence(a) === essence(b);
}

/** Whether jobs of the pool's types can run: no pod because there is no work is as good as a pod that is ready. */
function judgeReady(pool: WorkerPool, facts: PoolFacts): Verdict {
  if (pool.metadata.deletionTimestamp !== undefined) return no(REASONS.draining, 'The pool is being deleted');
  if (facts.refusal !== null) return no(facts.refusal.reason, facts.refusal.message);
  if (pool.spec.paused === true)
    return no(REASONS.paused, 'spec.paused is true: running jobs end, no new one starts');
  const ready = readyPods(facts);
  if (ready > 0) return yes(REASONS.available, '');
  const trouble = findPodTrouble(facts.deployment, facts.pods);
  if (trouble !== null) return no(trouble.reason, trouble.message);
  const wanted = facts.deployment?.spec?.replicas ?? 0;
  if (wanted > 0 || facts.deployment === null) return no(REASONS.starting, 'The first pods are starting');
  return yes(REASONS.idle, 'There is no work; pods come with it');
}

function judgeScaler(pool: WorkerPool, { refusal, hasKeda, scaledObject, deployment }: PoolFacts): Verdict {
  if (!hasKeda) {
    const replicas = deployment?.spec?.replicas ?? 0;
    const message = `KEDA is not installed, so the pool keeps ${replicas} pods; install KEDA 2 to have it scaled by its work`;
    return no(REASONS.kedaNotInstalled, message);
  }
  if (scaledObject === null) {
    const message = refusal === null ? 'The ScaledObject is being made' : 'Nothing is made of this pool yet';
    return { status: 'Unknown', reason: REASONS.scalerStarting, message };
  }
  const ready = scaledObject.status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready?.status === 'True')
    return yes(REASONS.scalerActive, pool.spec.paused === true ? 'The pool is paused' : '');
  if (ready?.status === 'False') {
    const message = `KEDA says: ${ready.message ?? ready.reason ?? 'not ready'}; pods stay as they are until it can reach the scaler`;
    return no(REASONS.scalerFailed, message.slice(0, 1_024));
  }
  return { status: 'Unknown', reason: REASONS.scalerStarting, message: 'KEDA has not looked at it yet' };
}

function judgeProgress(pool: WorkerPool, facts: PoolFacts): Verdict {
  const { deployment, pods } = facts;
  if (pool.metadata.deletionTimestamp !== undefined) {
    const left = pods.filter(isLivingPod).length;
    return yes(REASONS.draining, `${left} pods end their jobs`);
  }
  if (facts.refusal !== null) return no(facts.refusal.reason, facts.refusal.message);
  const trouble = findPodTrouble(deployment, pods);
  if (trouble !== null) return no(trouble.reason, trouble.message);
  const { replicas = 0, updatedReplicas = 0 } = deployment?.status ?? {};
  if (updatedReplicas < replicas)
    return yes(REASONS.rolling, `${updatedReplicas} of ${replicas} pods are of the new kind`);
  const stuck = deployment?.status?.conditions?.find(({ reason }) => reason === 'ProgressDeadlineExceeded');
  if (stuck !== undefined)
    return no(REASONS.podsFailing, 'New pods do not become ready: read their log and events');
  return no(REASONS.rolledOut, 'All pods are as the pool says');
}

function readyPods({ deployment, pods }: PoolFacts): number {
  return deployment?.status?.readyReplicas ?? pods.filter(isReadyPod).length;
}

function yes(reason: string, message: string): Verdict {
  return { status: 'True', reason, message };
}

function no(reason: string, message: string): Verdict {
  return { status: 'False', reason, message };
}
