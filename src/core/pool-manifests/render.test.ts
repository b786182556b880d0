import { describe, expect, test } from 'vitest';
import { WORKER_POOL_KIND, type WorkerPool, type WorkerPoolSpec } from '../kinds/worker-pool.ts';
import { childName, poolLabel } from './names.ts';
import { type Extras, fixedReplicas, renderPool } from './render.ts';
import type { PoolSettings } from './settings.ts';

const SETTINGS: PoolSettings = {
  workerPostgresUrl: 'postgres://worker:pw@10.0.0.7:6432/longshore',
  redisUrl: 'redis://redis.data.svc',
  redisPrefix: 'longshore',
  scalerAddress: 'longshore-scaler.system.svc:9090',
  scalerAuthentication: null,
  scalerCa: null,
  env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://otel:4318', LONGSHORE_LOG_LEVEL: 'info' },
  egressPorts: [443],
  networkPolicy: true,
  monitorLabels: { release: 'prometheus' },
};
const NONE: Extras = { keda: false, podMonitor: false };
const ALL: Extras = { keda: true, podMonitor: true };

function pool(spec: Partial<WorkerPoolSpec> = {}, name = 'contracts'): WorkerPool {
  return {
    apiVersion: 'longshore.dev/v1alpha1',
    kind: WORKER_POOL_KIND,
    metadata: { name, namespace: 'shop', uid: 'u1' },
    spec: { image: 'longshore:1', types: [{ name: 'contract-source' }], ...spec },
  };
}

interface Loose {
  [field: string]: Loose & string & Loose[];
}

function render(spec: Partial<WorkerPoolSpec> = {}, options: Partial<PoolSettings> = {}, extras = ALL) {
  const rendered = renderPool(pool(spec), { ...SETTINGS, ...options }, 's3cret', extras);
  return Object.fromEntries(
    rendered.map(({ type, manifest }) => [type.kind, manifest as unknown as Loose]),
  ) as Record<string, Loose>;
}
const podOf = (spec: Partial<WorkerPoolSpec> = {}, options: Partial<PoolSettings> = {}) =>
  render(spec, options).Deployment?.spec?.template as unknown as Loose;
const containerOf = (spec: Partial<WorkerPoolSpec> = {}) =>
  podOf(spec).spec?.containers?.[0] as unknown as Loose;
const env = (spec: Partial<WorkerPoolSpec> = {}) =>
  Object.fromEntries((containerOf(spec).env as unknown as { name: string }[]).map((e) => [e.name, e]));

describe('a pool is rendered', () => {
  test('in an order in which each object finds what it names, all owned by the pool', () => {
    const rendered = renderPool(pool(), { ...SETTINGS, scalerCa: 'PEM' }, 's3cret', ALL);
    expect(rendered.map(({ type }) => type.kind)).toEqual([
      'Secret',
      'ServiceAccount',
      'NetworkPolicy',
      'Deployment',
      'TriggerAuthentication',
      'ScaledObject',
      'PodMonitor',
    ]);
    for (const { manifest } of rendered) {
      expect(manifest.metadata).toMatchObject({
        name: 'contracts-worker',
        namespace: 'shop',
        ownerReferences: [{ kind: 'WorkerPool', uid: 'u1', controller: true, blockOwnerDeletion: true }],
        labels: { 'app.kubernetes.io/managed-by': 'longshore', 'longshore.dev/pool': 'contracts' },
      });
    }
  });

  test('without kinds that the cluster does not have', () => {
    expect(Object.keys(render({}, { networkPolicy: false }, NONE))).toEqual([
      'Secret',
      'ServiceAccount',
      'Deployment',
    ]);
  });

  test('with names and labels of a length that Kubernetes takes, different for different pools', () => {
    const long = `${'a'.repeat(100)}.b`;
    expect(childName(long).length).toBeLessThanOrEqual(47);
    expect(childName(long)).not.toBe(childName(`${'a'.repeat(100)}.c`));
    expect(poolLabel(long).length).toBeLessThanOrEqual(63);
    expect(childName('a.b')).not.toBe(childName('a-b'));
    expect(childName('a.b')).toMatch(/^[a-z0-9-]+$/);
  });
});

describe('its Deployment', () => {
  test('leaves the number of pods to whoever scales, and rolls without a gap', () => {
    const { spec } = render().Deployment as Loose;
    expect(spec).not.toHaveProperty('replicas');
    expect(spec).toMatchObject({
      strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      selector: {
        matchLabels: { 'app.kubernetes.io/name': 'longshore-worker', 'longshore.dev/pool': 'contracts' },
      },
    });
  });

  test('changes when the secret does, and not when only the certificate of the scaler does', () => {
    const hash = (options: Partial<PoolSettings>) => podOf({}, options).metadata?.annotations;
    expect(hash({ redisUrl: 'redis://other' })).not.toEqual(hash({}));
    expect(hash({ scalerCa: 'PEM' })).toEqual(hash({}));
  });

  test('has no token, no root, no privileges, and a /tmp', () => {
    expect(podOf().spec).toMatchObject({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      volumes: [{ name: 'longshore-tmp', emptyDir: {} }],
      containers: [
        {
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          volumeMounts: [{ name: 'longshore-tmp', mountPath: '/tmp' }],
        },
      ],
    });
  });

  test('runs the shipped worker for shipped types, and what the image says for others', () => {
    expect(containerOf().args).toEqual(['worker']);
    expect(containerOf({ types: [{ name: 'mine', inputSchema: {} }] })).not.toHaveProperty('args');
  });
});

describe('variables', () => {
  test('tell the worker who it is, and its secrets come from the Secret', () => {
    const variables = env({ concurrency: 7, terminationGracePeriodSeconds: 90 });
    expect(variables.LONGSHORE_WORKER_CONCURRENCY).toMatchObject({ value: '7' });
    expect(variables.LONGSHORE_GRACE_SECONDS).toMatchObject({ value: '90' });
    expect(variables.LONGSHORE_WORKER_TYPES).toMatchObject({ value: 'contract-source' });
    expect(variables.LONGSHORE_WORKER_POOL_SECRET).toEqual({
      name: 'LONGSHORE_WORKER_POOL_SECRET',
      valueFrom: { secretKeyRef: { name: 'contracts-worker', key: 'pool-secret' } },
    });
    expect(JSON.stringify(render().Deployment)).not.toContain('s3cret');
  });

  test('of the pool win over shared ones, never over those of Longshore, and no name comes twice', () => {
    const own = [
      { name: 'OTEL_EXPORTER_OTLP_ENDPOINT', value: 'http://mine' },
      { name: 'LONGSHORE_LOG_LEVEL', value: 'debug' },
    ];
    expect(env({ env: own }).OTEL_EXPORTER_OTLP_ENDPOINT).toMatchObject({ value: 'http://mine' });
    const names = (containerOf({ env: own }).env as unknown as { name: string }[]).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe('overrides of the pod', () => {
  test('are added, and cannot take away what is needed', () => {
    const template = podOf({
      podTemplate: {
        labels: { team: 'a', 'longshore.dev/pool': 'other' },
        annotations: {
          'longshore.dev/secret-sha256': 'forged',
          'container.apparmor.security.beta.kubernetes.io/worker': 'unconfined',
          note: 'x',
        },
        nodeSelector: { disk: 'ssd' },
        priorityClassName: 'low',
        securityContext: { runAsUser: 4_000, fsGroup: 5_000 },
        volumes: [
          { name: 'cache', emptyDir: {} },
          { name: 'longshore-tmp', secret: { secretName: 's' } },
        ],
        volumeMounts: [{ name: 'cache', mountPath: '/cache' }],
      },
    });
    expect(template.metadata?.labels).toMatchObject({ team: 'a', 'longshore.dev/pool': 'contracts' });
    expect(Object.keys(template.metadata?.annotations ?? {}).toSorted()).toEqual([
      'longshore.dev/secret-sha256',
      'note',
    ]);
    expect(template.metadata?.annotations?.['longshore.dev/secret-sha256']).toMatch(/^[0-9a-f]{64}$/);
    expect(template.spec).toMatchObject({
      nodeSelector: { disk: 'ssd' },
      priorityClassName: 'low',
      securityContext: { runAsNonRoot: true, runAsUser: 4_000, runAsGroup: 1_000, fsGroup: 5_000 },
      volumes: [
        { name: 'cache', emptyDir: {} },
        { name: 'longshore-tmp', emptyDir: {} },
      ],
    });
  });

  test('may bring a /tmp of their own', () => {
    const template = podOf({
      podTemplate: {
        volumes: [{ name: 'big', emptyDir: { sizeLimit: '2Gi' } }],
        volumeMounts: [{ name: 'big', mountPath: '/tmp/' }],
      },
    });
    expect(template.spec?.volumes).toEqual([{ name: 'big', emptyDir: { sizeLimit: '2Gi' } }]);
  });
});

describe('its ScaledObject', () => {
  test('has one trigger, one step to the most, and bounds of the pool', () => {
    const { spec } = render({ minReplicas: 2, maxReplicas: 40, cooldownSeconds: 20 }).ScaledObject as Loose;
    expect(spec).toMatchObject({
      minReplicaCount: 2,
      maxReplicaCount: 40,
      cooldownPeriod: 20,
      pollingInterval: 10,
    });
    expect(spec?.triggers).toEqual([
      {
        type: 'external-push',
        metricType: 'AverageValue',
        metadata: { scalerAddress: 'longshore-scaler.system.svc:9090', pool: 'contracts' },
      },
    ]);
    expect(spec?.advanced).toMatchObject({
      horizontalPodAutoscalerConfig: {
        behavior: {
          scaleUp: {
            stabilizationWindowSeconds: 0,
            policies: [{ type: 'Pods', value: 40, periodSeconds: 15 }],
          },
        },
      },
    });
  });

  test.each([
    [0, 5],
    [20, 10],
    [3_600, 15],
  ])('with a cool-down of %i s is asked every %i s', (cooldownSeconds, pollingInterval) => {
    expect(render({ cooldownSeconds }).ScaledObject?.spec).toMatchObject({ pollingInterval });
  });

  test('trusts the authority of the scaler, where it has one', () => {
    const { ScaledObject, TriggerAuthentication, Secret } = render({}, { scalerCa: 'PEM' });
    expect(ScaledObject?.spec?.triggers).toMatchObject([
      { metadata: { enableTLS: 'true' }, authenticationRef: { name: 'contracts-worker' } },
    ]);
    expect(TriggerAuthentication?.spec).toEqual({
      secretTargetRef: [{ parameter: 'caCert', name: 'contracts-worker', key: 'scaler-ca.crt' }],
    });
    expect(Secret?.data).toHaveProperty(['scaler-ca.crt'], Buffer.from('PEM').toString('base64'));
  });

  test('may share an authentication of the cluster, and then needs none of its own', () => {
    const { ScaledObject, TriggerAuthentication } = render(
      {},
      { scalerCa: 'PEM', scalerAuthentication: 'mutual' },
    );
    expect(TriggerAuthentication).toBeUndefined();
    expect(ScaledObject?.spec?.triggers).toMatchObject([
      { authenticationRef: { name: 'mutual', kind: 'ClusterTriggerAuthentication' } },
    ]);
  });

  test('of a paused pool lets the last pod go', () => {
    expect(render({ minReplicas: 3, paused: true }).ScaledObject?.spec).toMatchObject({ minReplicaCount: 0 });
  });
});

test.each([
  [{}, true, 0],
  [{ minReplicas: 3 }, true, 3],
  [{}, false, 1],
  [{ minReplicas: 3 }, false, 3],
  [{ minReplicas: 3, paused: true }, false, 0],
])('%j with KEDA %s begins with %i pods', (spec, hasKeda, replicas) => {
  expect(fixedReplicas(pool(spec), hasKeda)).toBe(replicas);
});
