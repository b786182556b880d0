import { sanitizeText } from './errors.ts';
import type { ObjectMeta } from './kinds/meta.ts';
import { WORKER_POOL_REASONS, type WorkerPoolReason } from './kinds/worker-pool.ts';
import type { PoolRefusal } from './pool-refusal.ts';

/** What is read of a Deployment. */
export interface DeploymentView {
  metadata: ObjectMeta;
  spec?: { replicas?: number };
  status?: {
    observedGeneration?: number;
    replicas?: number;
    updatedReplicas?: number;
    readyReplicas?: number;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
  };
}

interface ContainerStatus {
  restartCount?: number;
  state?: { waiting?: { reason?: string; message?: string } };
  lastState?: { terminated?: { reason?: string; exitCode?: number; message?: string } };
}

/** What is read of a pod. */
export interface PodView {
  metadata: ObjectMeta;
  status?: {
    phase?: string;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
    containerStatuses?: ContainerStatus[];
  };
}

const { imagePullFailed, configMissing, podsFailing, quotaExceeded, podsRefused, unschedulable } =
  WORKER_POOL_REASONS;

/** What the kubelet says of a container that waits, and what it means for the pool. */
const WAITING: Readonly<Record<string, { reason: WorkerPoolReason; advice: string }>> = {
  ...Object.fromEntries(
    [
      'ErrImagePull',
      'ImagePullBackOff',
      'ErrImageNeverPull',
      'InvalidImageName',
      'ImageInspectError',
      'RegistryUnavailable',
    ].map((reason) => [
      reason,
      {
        reason: imagePullFailed,
        advice: 'check spec.image, and spec.podTemplate.imagePullSecrets if the registry is private',
      },
    ]),
  ),
  CreateContainerConfigError: {
    reason: configMissing,
    advice:
      'make the Secret or ConfigMap that spec.env or spec.envFrom names; pods start as soon as it is there',
  },
  CreateContainerError: { reason: podsFailing, advice: 'check image and spec.podTemplate' },
  RunContainerError: { reason: podsFailing, advice: 'check image and spec.podTemplate' },
  CrashLoopBackOff: { reason: podsFailing, advice: 'read the log: kubectl logs --previous' },
};

/** What keeps pods of a pool from working; null while nothing is known to. The message says what to do. */
export function findPodTrouble(
  deployment: DeploymentView | null,
  pods: readonly PodView[],
): PoolRefusal | null {
  return fromReplicaFailure(deployment) ?? firstOf(pods, fromWaiting) ?? firstOf(pods, fromScheduling);
}

export function isReadyPod(pod: PodView): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}

/** Whether the pod still takes room; a finished one is a mere record. */
export function isLivingPod({ status }: PodView): boolean {
  return status?.phase !== 'Succeeded' && status?.phase !== 'Failed';
}

/** Pods that the API server did not let be made. */
function fromReplicaFailure(deployment: DeploymentView | null): PoolRefusal | null {
  const failure = deployment?.status?.conditions?.find(
    ({ type, status }) => type === 'ReplicaFailure' && status === 'True',
  );
  if (failure === undefined) return null;
  const text = failure.message ?? '';
  if (text.includes('exceeded quota') || text.includes('failed quota')) {
    return refusal(quotaExceeded, text, 'raise the ResourceQuota, or lower spec.resources or maxReplicas');
  }
  return refusal(podsRefused, text, "change the pool or the namespace's rules");
}

function fromWaiting({ metadata, status }: PodView): PoolRefusal | null {
  for (const container of status?.containerStatuses ?? []) {
    const { reason = '', message = '' } = container.state?.waiting ?? {};
    const known = WAITING[reason];
    if (known === undefined) continue;
    const isElsewhere = reason === 'CreateContainerConfigError' && !message.includes('not found');
    const text = [`Pod ${metadata.name}: ${reason}`, lastWords(container), message]
      .filter((part) => part !== '')
      .join(': ');
    if (isElsewhere) return refusal(podsFailing, text, 'check image and spec.podTemplate');
    return refusal(known.reason, text, known.advice);
  }
  return null;
}

/** How the container ended last, of one that ends again and again. */
function lastWords({ lastState, restartCount = 0 }: ContainerStatus): string {
  const end = lastState?.terminated;
  if (end === undefined) return '';
  const how = end.reason === 'OOMKilled' ? 'out of memory (raise spec.resources.limits.memory)' : end.reason;
  return `${restartCount} restarts, ended with ${end.exitCode ?? '?'} ${how ?? ''}`.trim();
}

function fromScheduling({ metadata, status }: PodView): PoolRefusal | null {
  const found = status?.conditions?.find(
    ({ type, status: is, reason }) => type === 'PodScheduled' && is === 'False' && reason === 'Unschedulable',
  );
  if (found === undefined) return null;
  const advice = 'add nodes, lower spec.resources, or change nodeSelector, affinity and tolerations';
  return refusal(unschedulable, `Pod ${metadata.name}: ${found.message ?? 'no node takes it'}`, advice);
}

function refusal(reason: WorkerPoolReason, text: string, advice: string): PoolRefusal {
  // The advice is worth more than the end of a long text.
  return { reason, message: `${sanitizeText(text, 1_000 - advice.length)}; ${advice}` };
}

function firstOf(pods: readonly PodView[], find: (pod: PodView) => PoolRefusal | null): PoolRefusal | null {
  for (const pod of pods) {
    if (pod.metadata.deletionTimestamp !== undefined) continue;
    const found = find(pod);
    if (found !== null) return found;
  }
  return null;
}
