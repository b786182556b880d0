import { beforeAll, describe, expect, test } from 'vitest';
import { EXTERNAL, type Manifest, podsOf, type Rendered, renderChart, TRIAL } from '../support/chart.ts';
import { useKinds } from '../support/kinds.ts';

const kinds = useKinds('chart', { ownServer: true });

/** Kinds that belong to others and that no API server knows by itself. */
const FOREIGN = new Set(['HTTPRoute', 'PodMonitor']);

const everything = (watchNamespace: string) => ({
  ...TRIAL,
  watchNamespace,
  commonLabels: { team: 'harbour' },
  imagePullSecrets: [{ name: 'registry' }],
  config: { LONGSHORE_WINDOW: 500 },
  envFrom: [{ secretRef: { name: 'more' } }],
  bot: { enabled: true, existingSecret: 'telegram', webhookUrl: 'https://bot.example.org/telegram' },
  api: {
    autoscaling: { enabled: true },
    service: { type: 'NodePort' },
    ingress: {
      enabled: true,
      hosts: ['a.example.org'],
      tls: [{ secretName: 'a', hosts: ['a.example.org'] }],
    },
    route: { enabled: true, parentRefs: [{ name: 'edge' }] },
    adminKey: { existingSecret: 'key' },
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    tolerations: [{ key: 'dedicated', operator: 'Exists' }],
    affinity: { podAntiAffinity: {} },
    topologySpreadConstraints: [],
    priorityClassName: 'system-cluster-critical',
    extraEnv: [{ name: 'TZ', value: 'UTC' }],
    podAnnotations: { a: 'b' },
    podLabels: { c: 'd' },
  },
  controller: {
    scaler: { authentication: 'keda', tls: { existingSecret: 'certificate', verifyClient: true } },
  },
  defaultPools: { enabled: true },
  networkPolicy: {
    apiFrom: [{ namespaceSelector: { matchLabels: { a: 'b' } } }],
    extraApiEgress: [{ ports: [{ port: 4_318, protocol: 'TCP' }] }],
  },
  monitoring: { podMonitor: { enabled: true, labels: { release: 'prometheus' } } },
});

/** The matrix: what is there by default, everything at once, rights in one namespace, and what OpenShift decides itself. */
const MATRIX: Record<string, () => object> = {
  trial: () => TRIAL,
  spool: () => ({ ...TRIAL, api: { spool: { enabled: true, storageClassName: 'fast' } } }),
  external: () => EXTERNAL,
  everything: () => everything(''),
  'one namespace': () => everything(kinds.namespace),
  'users of the platform': () => ({ ...EXTERNAL, runAsUser: null, runAsGroup: null }),
  'nothing optional': () => ({
    ...EXTERNAL,
    networkPolicy: { enabled: false },
    queueJobQuota: { enabled: false },
    migrations: { enabled: false },
    api: { podDisruptionBudget: { enabled: false } },
  }),
};

const rendered = new Map<string, Rendered>();

/** What the API server says against objects, none of which it keeps; empty when it would take them all. Unknown fields count. */
async function complaints(manifests: readonly object[]): Promise<string> {
  const args = ['-n', kinds.namespace, 'create', '--dry-run=server', '--validate=strict', '-f', '-'];
  // As JSON: what YAML writers leave without quotes (`on`) other readers take for no text.
  const stream = manifests.map((manifest) => JSON.stringify(manifest)).join('\n');
  return await kinds.kubectl(args, stream).then(
    () => '',
    (error: Error & { stderr?: string }) => error.stderr ?? error.message,
  );
}

beforeAll(async () => {
  const restricted = ['enforce', 'warn'].map((mode) => `pod-security.kubernetes.io/${mode}=restricted`);
  await kinds.kubectl(['label', 'namespace', kinds.namespace, ...restricted]);
  for (const [name, values] of Object.entries(MATRIX)) {
    rendered.set(name, await renderChart(values(), { namespace: kinds.namespace }));
  }
  // Pods are refused while their accounts are missing.
  const accounts = new Map<string, Manifest>();
  for (const chart of rendered.values()) {
    for (const account of chart.of('ServiceAccount')) accounts.set(account.metadata.name, account);
  }
  await kinds.kubectl(
    ['create', '-f', '-'],
    [...accounts.values()].map((account) => JSON.stringify(account)).join('\n'),
  );
});

describe.each(Object.keys(MATRIX))('with the values "%s"', (name) => {
  test('the API server takes every object', async () => {
    const objects = (rendered.get(name)?.all ?? []).filter(
      ({ kind }) => !FOREIGN.has(kind) && kind !== 'ServiceAccount',
    );
    expect(objects.length).toBeGreaterThan(8);
    expect(await complaints(objects)).toBe('');
  });

  test('every pod fits the restricted profile', async () => {
    const chart = rendered.get(name) as Rendered;
    const pods = podsOf(chart).map(({ metadata, spec }, index) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `pod-${index}`, labels: metadata.labels },
      // A StatefulSet adds the volumes of its claims; more that nobody mounts do no harm.
      spec: {
        ...spec,
        volumes: [...(spec.volumes ?? []), ...['data', 'spool'].map((name) => ({ name, emptyDir: {} }))],
      },
    }));
    expect(pods.length).toBeGreaterThanOrEqual(5);
    expect(await complaints(pods)).toBe('');
  });
});

test('a pod that does not fit the profile is refused, so that the tests above prove something', async () => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'root' },
    spec: { containers: [{ name: 'a', image: 'a' }] },
  };
  expect(await complaints([pod])).toContain('violates PodSecurity "restricted');
});

test('a field that Kubernetes does not know is refused, so that the tests above prove something', async () => {
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'a' },
    spec: { ports: [{ port: 80, prot: 'TCP' }] },
  };
  expect(await complaints([service])).toContain('unknown field "spec.ports[0].prot"');
});

test('the default pools are WorkerPools that the API server takes', async () => {
  const pools = rendered.get('everything')?.get('ConfigMap', 'longshore-default-pools').data['pools.yaml'];
  const args = [
    '-n',
    kinds.namespace,
    'create',
    '--dry-run=server',
    '--validate=strict',
    '-f',
    '-',
    '-o',
    'name',
  ];
  const names = await kinds.kubectl(args, pools);
  expect(names.trim().split('\n')).toEqual([
    'workerpool.longshore.dev/image-convert',
    'workerpool.longshore.dev/contract-source',
    'workerpool.longshore.dev/exchange-rate',
    'workerpool.longshore.dev/meter-readings',
  ]);
});
