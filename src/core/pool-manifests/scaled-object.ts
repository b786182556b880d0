import { WORKER_POOL_DEFAULTS, type WorkerPool } from '../kinds/worker-pool.ts';
import { childName } from './names.ts';
import { SECRET_KEYS } from './secret.ts';
import type { PoolSettings } from './settings.ts';

/** How often KEDA asks whether there is still work. Work that begins is pushed, so only the end waits for it. */
const POLLING = { min: 5, max: 15 } as const;
/** How soon the autoscaler may follow a load that falls while there is still work. */
const MAX_STABILIZATION_SECONDS = 300;
const STEP_SECONDS = 15;

/**
 * What KEDA is to do with the pool's Deployment. It has one trigger: of several KEDA takes the largest and may drop
 * the push of one whose metric it has not learnt yet.
 */
export function scaledObjectSpec({ metadata, spec }: WorkerPool, settings: PoolSettings): object {
  const { minReplicas, maxReplicas, cooldownSeconds } = { ...WORKER_POOL_DEFAULTS, ...spec };
  const name = childName(metadata.name);
  return {
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
    pollingInterval: Math.min(POLLING.max, Math.max(POLLING.min, Math.floor(cooldownSeconds / 2))),
    cooldownPeriod: cooldownSeconds,
    // A paused pool needs pods for what still runs, and the load says how many.
    minReplicaCount: spec.paused === true ? 0 : minReplicas,
    maxReplicaCount: maxReplicas,
    advanced: {
      restoreToOriginalReplicaCount: false,
      horizontalPodAutoscalerConfig: {
        behavior: {
          scaleUp: {
            stabilizationWindowSeconds: 0,
            policies: [{ type: 'Pods', value: maxReplicas, periodSeconds: STEP_SECONDS }],
          },
          scaleDown: {
            stabilizationWindowSeconds: Math.min(MAX_STABILIZATION_SECONDS, cooldownSeconds),
            policies: [{ type: 'Percent', value: 100, periodSeconds: STEP_SECONDS }],
          },
        },
      },
    },
    triggers: [
      {
        type: 'external-push',
        metricType: 'AverageValue',
        metadata: {
          scalerAddress: settings.scalerAddress,
          pool: metadata.name,
          ...(settings.scalerCa === null ? {} : { enableTLS: 'true' }),
        },
        ...authentication(name, settings),
      },
    ],
  };
}

function authentication(name: string, { scalerAuthentication, scalerCa }: PoolSettings): object {
  if (scalerAuthentication !== null)
    return { authenticationRef: { name: scalerAuthentication, kind: 'ClusterTriggerAuthentication' } };
  return scalerCa === null ? {} : { authenticationRef: { name } };
}

/** Lets KEDA check the scaler's certificate. */
export function triggerAuthenticationSpec(pool: string): object {
  const name = childName(pool);
  return { secretTargetRef: [{ parameter: 'caCert', name, key: SECRET_KEYS.scalerCa }] };
}
