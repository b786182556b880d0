import type { ResourceType } from '../kinds/meta.ts';
import { WORKER_POOL_DEFAULTS, type WorkerPool } from '../kinds/worker-pool.ts';
import { childLabels, childName, ownerReference, selectorLabels } from './names.ts';
import { networkPolicySpec } from './network-policy.ts';
import { podTemplate } from './pod.ts';
import {
  DEPLOYMENT,
  type Manifest,
  NETWORK_POLICY,
  POD_MONITOR,
  SCALED_OBJECT,
  SECRET,
  SERVICE_ACCOUNT,
  TRIGGER_AUTHENTICATION,
} from './resources.ts';
import { scaledObjectSpec, triggerAuthenticationSpec } from './scaled-object.ts';
import { secretData, secretHash } from './secret.ts';
import type { PoolSettings } from './settings.ts';

const METRICS_INTERVAL = '15s';
/** A new pod that is not ready after this is a roll-out that hangs. */
const PROGRESS_DEADLINE_SECONDS = 300;

export interface Rendered {
  type: ResourceType;
  manifest: Manifest;
}

/** Kinds of others that a cluster may or may not have. */
export interface Extras {
  keda: boolean;
  podMonitor: boolean;
}

/**
 * Everything that a pool is, in the order of its making, so that each object finds what it names. The Deployment comes
 * without `replicas`: those are KEDA's, or those of the field manager that created it.
 */
export function renderPool(
  pool: WorkerPool,
  settings: PoolSettings,
  poolSecret: string,
  extras: Extras,
): Rendered[] {
  const { name } = pool.metadata;
  const child = (type: ResourceType, content: object): Rendered => ({
    type,
    manifest: {
      apiVersion: [type.group, type.version].filter((part) => part !== '').join('/'),
      kind: type.kind,
      metadata: {
        name: childName(name),
        namespace: pool.metadata.namespace ?? '',
        labels: childLabels(name),
        ownerReferences: [ownerReference(pool)],
      },
      ...content,
    },
  });
  const data = secretData(poolSecret, settings);
  const rendered = [
    child(SECRET, { type: 'Opaque', data }),
    child(SERVICE_ACCOUNT, { automountServiceAccountToken: false }),
  ];
  if (settings.networkPolicy)
    rendered.push(child(NETWORK_POLICY, { spec: networkPolicySpec(name, settings) }));
  rendered.push(child(DEPLOYMENT, { spec: deploymentSpec(pool, settings, secretHash(data)) }));
  if (extras.keda && settings.scalerCa !== null && settings.scalerAuthentication === null)
    rendered.push(child(TRIGGER_AUTHENTICATION, { spec: triggerAuthenticationSpec(name) }));
  if (extras.keda) rendered.push(child(SCALED_OBJECT, { spec: scaledObjectSpec(pool, settings) }));
  if (extras.podMonitor) rendered.push(podMonitor(child(POD_MONITOR, {}), pool, settings));
  return rendered;
}

/** Pods of a pool in a cluster without KEDA, and of a new one until KEDA has looked at it. */
export function fixedReplicas({ spec }: WorkerPool, hasKeda: boolean): number {
  if (spec.paused === true) return 0;
  const { minReplicas } = { ...WORKER_POOL_DEFAULTS, ...spec };
  return hasKeda ? minReplicas : Math.max(1, minReplicas);
}

function deploymentSpec(pool: WorkerPool, settings: PoolSettings, hash: string): object {
  return {
    selector: { matchLabels: selectorLabels(pool.metadata.name) },
    revisionHistoryLimit: 2,
    progressDeadlineSeconds: PROGRESS_DEADLINE_SECONDS,
    // A job that runs must not wait for a pod's place: the new pod comes first, then the old one drains.
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    template: podTemplate(pool, settings, hash),
  };
}

function podMonitor({ type, manifest }: Rendered, pool: WorkerPool, settings: PoolSettings): Rendered {
  const { metadata } = manifest;
  return {
    type,
    manifest: {
      ...manifest,
      metadata: { ...metadata, labels: { ...settings.monitorLabels, ...metadata.labels } },
      spec: {
        selector: { matchLabels: selectorLabels(pool.metadata.name) },
        podMetricsEndpoints: [{ port: 'health', path: '/metrics', interval: METRICS_INTERVAL }],
      },
    },
  };
}
