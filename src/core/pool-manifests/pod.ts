import {
  type EnvVar,
  type PodTemplateOverrides,
  type ResourceRequirements,
  WORKER_POOL_DEFAULTS,
  type WorkerPool,
  type WorkerPoolSpec,
} from '../kinds/worker-pool.ts';
import { childLabels, childName, selectorLabels } from './names.ts';
import { SECRET_KEYS } from './secret.ts';
import { HEALTH_PORT, type PoolSettings } from './settings.ts';

/** A change of the Secret rolls the pods: they read it once. */
export const SECRET_HASH_ANNOTATION = 'longshore.dev/secret-sha256';

const PROFILE_ANNOTATION = /^(container\.apparmor|seccomp|container\.seccomp)\.security\./;

const CONTAINER = 'worker';
const TMP_VOLUME = 'longshore-tmp';
/** The user `node` of Node.js images: a name, as images give it, is no proof to the kubelet that it is not root. */
const USER = 1_000;

const DEFAULT_RESOURCES: ResourceRequirements = {
  requests: { cpu: '50m', memory: '128Mi' },
  limits: { memory: '512Mi' },
};

/** The pods of a pool: what the pool says, within what the restricted profile allows. */
export function podTemplate(pool: WorkerPool, settings: PoolSettings, secretHash: string): object {
  const { spec, metadata } = pool;
  const overrides = spec.podTemplate ?? {};
  return {
    metadata: {
      labels: { ...overrides.labels, ...childLabels(metadata.name) },
      annotations: { ...harmless(overrides.annotations), [SECRET_HASH_ANNOTATION]: secretHash },
    },
    spec: {
      serviceAccountName: childName(metadata.name),
      automountServiceAccountToken: false,
      // The links of Services would be variables that start with LONGSHORE_ and are none of Longshore's.
      enableServiceLinks: false,
      terminationGracePeriodSeconds: graceSeconds(spec),
      securityContext: {
        runAsNonRoot: true,
        runAsUser: USER,
        runAsGroup: USER,
        ...overrides.securityContext,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      topologySpreadConstraints: ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].map(
        (topologyKey) => ({
          topologyKey,
          maxSkew: 1,
          whenUnsatisfiable: 'ScheduleAnyway',
          labelSelector: { matchLabels: selectorLabels(metadata.name) },
        }),
      ),
      ...placement(overrides),
      volumes: volumes(overrides),
      containers: [container(pool, settings)],
    },
  };
}

/** Without the annotations that were once the way out of a security profile, and are still obeyed. */
function harmless(annotations: Record<string, string> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => !PROFILE_ANNOTATION.test(name)));
}

export function graceSeconds(spec: WorkerPoolSpec): number {
  return spec.terminationGracePeriodSeconds ?? WORKER_POOL_DEFAULTS.terminationGracePeriodSeconds;
}

function container(pool: WorkerPool, settings: PoolSettings): object {
  const { spec } = pool;
  const shippedOnly = spec.types.every((type) => type.inputSchema === undefined);
  return {
    name: CONTAINER,
    image: spec.image,
    ...(spec.imagePullPolicy === undefined ? {} : { imagePullPolicy: spec.imagePullPolicy }),
    // A user's own image knows what to run.
    ...(shippedOnly ? { args: ['worker'] } : {}),
    env: environment(pool, settings),
    ...(spec.envFrom === undefined ? {} : { envFrom: spec.envFrom }),
    ports: [{ name: 'health', containerPort: HEALTH_PORT, protocol: 'TCP' }],
    resources: spec.resources ?? DEFAULT_RESOURCES,
    startupProbe: probe('/healthz', { periodSeconds: 1, failureThreshold: 120 }),
    livenessProbe: probe('/healthz', { periodSeconds: 10, failureThreshold: 6 }),
    readinessProbe: probe('/readyz', { periodSeconds: 2, failureThreshold: 3 }),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: volumeMounts(spec.podTemplate ?? {}),
  };
}

/** The pool's own variables, then those of Longshore, which a pool cannot set: the API server refuses their names. */
function environment(pool: WorkerPool, settings: PoolSettings): EnvVar[] {
  const { spec, metadata } = pool;
  const own = spec.env ?? [];
  const ours: Record<string, string> = {
    LONGSHORE_REDIS_PREFIX: settings.redisPrefix,
    LONGSHORE_WORKER_NAMESPACE: metadata.namespace ?? '',
    LONGSHORE_WORKER_POOL: metadata.name,
    LONGSHORE_WORKER_TYPES: spec.types.map((type) => type.name).join(','),
    LONGSHORE_WORKER_CONCURRENCY: String(spec.concurrency ?? WORKER_POOL_DEFAULTS.concurrency),
    LONGSHORE_GRACE_SECONDS: String(graceSeconds(spec)),
    LONGSHORE_HEALTH_PORT: String(HEALTH_PORT),
  };
  const names = new Set([...own.map(({ name }) => name), ...Object.keys(ours)]);
  const shared = Object.entries(settings.env).filter(([name]) => !names.has(name));
  const literals = [...shared, ...Object.entries(ours)].map(([name, value]) => ({ name, value }));
  return [...own, ...literals, ...secretVariables(metadata.name)];
}

function secretVariables(pool: string): EnvVar[] {
  const name = childName(pool);
  return [
    ['LONGSHORE_WORKER_POSTGRES_URL', SECRET_KEYS.postgresUrl],
    ['LONGSHORE_REDIS_URL', SECRET_KEYS.redisUrl],
    ['LONGSHORE_WORKER_POOL_SECRET', SECRET_KEYS.poolSecret],
  ].map(([variable = '', key = '']) => ({ name: variable, valueFrom: { secretKeyRef: { name, key } } }));
}

function probe(path: string, times: { periodSeconds: number; failureThreshold: number }): object {
  return { httpGet: { path, port: 'health' }, timeoutSeconds: 3, ...times };
}

function placement(overrides: PodTemplateOverrides): object {
  const { nodeSelector, tolerations, affinity, imagePullSecrets, priorityClassName } = overrides;
  return {
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
    ...(tolerations === undefined ? {} : { tolerations }),
    ...(affinity === undefined ? {} : { affinity }),
    ...(imagePullSecrets === undefined ? {} : { imagePullSecrets }),
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
  };
}

/** The root file system is read-only, so a worker gets a `/tmp`, unless the pool mounts its own there. */
function bringsTmp({ volumeMounts: mounts = [] }: PodTemplateOverrides): boolean {
  return mounts.some(({ mountPath }) => mountPath.replace(/\/+$/, '') === '/tmp');
}

function volumes(overrides: PodTemplateOverrides): object[] {
  const own = (overrides.volumes ?? []).filter(({ name }) => name !== TMP_VOLUME);
  return bringsTmp(overrides) ? own : [...own, { name: TMP_VOLUME, emptyDir: {} }];
}

function volumeMounts(overrides: PodTemplateOverrides): object[] {
  const own = (overrides.volumeMounts ?? []).filter(({ name }) => name !== TMP_VOLUME);
  return bringsTmp(overrides) ? own : [...own, { name: TMP_VOLUME, mountPath: '/tmp' }];
}
