import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { knownSchemaVersion } from '../../src/ledger/migrate.ts';
import {
  containerOf,
  EXTERNAL,
  envOf,
  type Manifest,
  only,
  podsOf,
  renderChart,
  TRIAL,
} from '../support/chart.ts';

describe('workloads', () => {
  test('two of API and controller, spread, each told where its stores are', async () => {
    const chart = await renderChart(EXTERNAL);
    for (const name of ['api', 'controller']) {
      const workload = chart.get('Deployment', `longshore-${name}`);
      expect(workload.spec.replicas).toBe(2);
      expect(containerOf(workload).args).toEqual([name]);
      const env = envOf(containerOf(workload));
      expect(env.get('LONGSHORE_POSTGRES_URL')?.valueFrom.secretKeyRef).toEqual({
        name: 'ledger',
        key: 'url',
      });
      expect(env.get('LONGSHORE_REDIS_URL')?.valueFrom.secretKeyRef).toEqual({ name: 'queue', key: 'url' });
      const spread = workload.spec.template.spec.topologySpreadConstraints;
      expect(spread.map(({ topologyKey }) => topologyKey)).toEqual([
        'topology.kubernetes.io/zone',
        'kubernetes.io/hostname',
      ]);
      expect(workload.spec).toMatchObject({ selector: spread[0]?.labelSelector });
    }
  });

  test('only the controller has a token, and the hooks', async () => {
    const pods = podsOf(await renderChart(TRIAL));
    const withToken = pods.filter(({ spec }) => spec.automountServiceAccountToken !== false);
    expect(withToken.map(({ owner }) => owner)).toEqual([
      'Deployment/longshore-controller',
      'Job/longshore-crds',
      'Job/longshore-uninstall',
    ]);
    for (const { spec } of withToken) expect(spec.serviceAccountName).toMatch(/^longshore-/);
  });

  test('no pod gets the links of Services, which would be read as settings', async () => {
    for (const { owner, spec } of podsOf(await renderChart(TRIAL)))
      expect(spec.enableServiceLinks, owner).toBe(false);
  });

  test('probes ask what they are for', async () => {
    const chart = await renderChart();
    for (const name of ['longshore-api', 'longshore-controller']) {
      expect(containerOf(chart.get('Deployment', name))).toMatchObject({
        startupProbe: { httpGet: { path: '/healthz' } },
        livenessProbe: { httpGet: { path: '/healthz' } },
        readinessProbe: { httpGet: { path: '/readyz' } },
      });
    }
  });

  test('an autoscaler takes the place of the replicas', async () => {
    const chart = await renderChart({ ...TRIAL, api: { autoscaling: { enabled: true, maxReplicas: 7 } } });
    expect(chart.get('Deployment', 'longshore-api').spec).not.toHaveProperty('replicas');
    expect(chart.get('HorizontalPodAutoscaler', 'longshore-api').spec).toMatchObject({
      minReplicas: 2,
      maxReplicas: 7,
    });
    expect((await renderChart()).of('HorizontalPodAutoscaler')).toEqual([]);
  });

  test('with a spool each pod of the API has a volume of its own, and its process is told', async () => {
    const api = { replicas: 3, spool: { enabled: true, size: '2Gi', storageClassName: 'fast' } };
    const chart = await renderChart({ ...TRIAL, api });
    expect(chart.of('Deployment').map(({ metadata }) => metadata.name)).not.toContain('longshore-api');
    const { spec } = chart.get('StatefulSet', 'longshore-api');
    expect(spec).toMatchObject({
      replicas: 3,
      serviceName: 'longshore-api',
      podManagementPolicy: 'Parallel',
    });
    expect(spec).not.toHaveProperty('strategy');
    expect(only(spec.volumeClaimTemplates)).toMatchObject({
      metadata: { name: 'spool' },
      spec: { storageClassName: 'fast', resources: { requests: { storage: '2Gi' } } },
    });
    const container = containerOf(chart.get('StatefulSet', 'longshore-api'));
    const folder = envOf(container).get('LONGSHORE_SPOOL_DIR')?.value ?? '';
    const mount = container.volumeMounts.find(({ name }) => name === 'spool');
    expect(folder.startsWith(`${mount?.mountPath}/`)).toBe(true);
    const plain = await renderChart();
    expect(envOf(containerOf(plain.get('Deployment', 'longshore-api')))).not.toContain('LONGSHORE_SPOOL_DIR');
  });

  test('settings reach API and controller as they were written, and a change rolls the pods', async () => {
    const config = {
      LONGSHORE_KEY_BURST: 1_000_000,
      LONGSHORE_KEY_RATE_PER_SECOND: 0.5,
      LONGSHORE_LOG_LEVEL: 'warn',
    };
    const chart = await renderChart({ ...TRIAL, config });
    expect(chart.get('ConfigMap', 'longshore').data).toEqual({
      LONGSHORE_KEY_BURST: '1000000',
      LONGSHORE_KEY_RATE_PER_SECOND: '0.5',
      LONGSHORE_LOG_LEVEL: 'warn',
    });
    const plain = await renderChart();
    for (const name of ['longshore-api', 'longshore-controller']) {
      const template = chart.get('Deployment', name).spec.template;
      expect(only(template.spec.containers)).toMatchObject({
        envFrom: [{ configMapRef: { name: 'longshore' } }],
      });
      expect(template.metadata.annotations).not.toEqual(
        plain.get('Deployment', name).spec.template.metadata.annotations,
      );
    }
  });

  test('the image by tag or by digest, of every pod of ours', async () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const images = async (image: object) =>
      new Set(
        podsOf(await renderChart({ ...EXTERNAL, image })).map(({ spec }) => only(spec.containers).image),
      );
    expect(await images({ repository: 'r.example/l', tag: 'v2' })).toEqual(new Set(['r.example/l:v2']));
    expect(await images({ repository: 'r.example/l', digest })).toEqual(new Set([`r.example/l@${digest}`]));
  });
});

describe('the scaler', () => {
  test('is reached at the address that pools are told', async () => {
    const chart = await renderChart({ ...TRIAL, controller: { scaler: { port: 9_999 } } });
    const service = chart.get('Service', 'longshore-scaler');
    expect(service.spec).toMatchObject({ clusterIP: 'None', publishNotReadyAddresses: true });
    expect(only(service.spec.ports).port).toBe(9_999);
    const env = envOf(containerOf(chart.get('Deployment', 'longshore-controller')));
    expect(env.get('LONGSHORE_SCALER_ADDRESS')?.value).toBe('longshore-scaler.harbour.svc:9999');
    expect(env.get('LONGSHORE_SCALER_PORT')?.value).toBe('9999');
    expect([...env.keys()].filter((name) => name.includes('TLS'))).toEqual([]);
  });

  test('has its certificate from the Secret that was named', async () => {
    const tls = { existingSecret: 'certificate', verifyClient: true };
    const chart = await renderChart({ ...TRIAL, controller: { scaler: { tls, authentication: 'keda' } } });
    const { spec } = chart.get('Deployment', 'longshore-controller').spec.template;
    expect(spec.volumes).toContainEqual({ name: 'scaler-tls', secret: { secretName: 'certificate' } });
    const { env, volumeMounts } = only(spec.containers);
    const mount = volumeMounts.find(({ name }) => name === 'scaler-tls');
    const files = env.filter(({ name }) => name.includes('TLS')).map(({ value }) => value);
    expect(files).toEqual(['tls.crt', 'tls.key', 'ca.crt'].map((file) => `${mount?.mountPath}/${file}`));
  });
});

describe('the namespace of jobs', () => {
  const key = { api: { adminKey: { existingSecret: 'first' } } };

  test.each([
    ['that of the release', {}, 'harbour'],
    ['the one that is watched', { watchNamespace: 'shop' }, 'shop'],
    ['that of the default pools', { defaultPools: { enabled: true, namespace: 'pools' } }, 'pools'],
  ])('is %s, for pools, a first key and the bot', async (_, values, namespace) => {
    const bot = { enabled: true, existingSecret: 'telegram' };
    const chart = await renderChart({ ...TRIAL, defaultPools: { enabled: true }, ...key, bot, ...values });
    expect(chart.text).toContain(`--admin-key=${namespace}`);
    const pools = chart.get('ConfigMap', 'longshore-default-pools') as unknown as {
      data: Record<string, string>;
    };
    expect(pools.data['pools.yaml']).toContain(`namespace: ${namespace}`);
    const { env } = containerOf(chart.get('Deployment', 'longshore-bot'));
    expect(env).toContainEqual({ name: 'LONGSHORE_BOT_NAMESPACE', value: namespace });
  });
});

describe('the bot', () => {
  const bot = { enabled: true, existingSecret: 'telegram' };

  test('is off, needs a Secret, and polls as one process', async () => {
    expect((await renderChart()).of('Deployment').map(({ metadata }) => metadata.name)).not.toContain(
      'longshore-bot',
    );
    await expect(renderChart({ ...TRIAL, bot: { enabled: true } })).rejects.toThrow('bot.existingSecret');
    const chart = await renderChart({ ...TRIAL, bot });
    const workload = chart.get('Deployment', 'longshore-bot');
    expect(workload.spec).toMatchObject({ replicas: 1, strategy: { type: 'Recreate' } });
    const env = envOf(containerOf(workload));
    expect(containerOf(workload).args).toEqual(['bot']);
    expect(env.get('LONGSHORE_BOT_TOKEN')?.valueFrom.secretKeyRef).toEqual({
      name: 'telegram',
      key: 'token',
    });
    expect(env.has('LONGSHORE_BOT_WEBHOOK_URL')).toBe(false);
    const { spec } = chart.get('NetworkPolicy', 'longshore-postgresql');
    expect(JSON.stringify(only(spec.ingress).from)).toContain('"bot"');
  });

  test('is reached by its Service with a webhook', async () => {
    const webhookUrl = 'https://bot.example.org/telegram';
    const chart = await renderChart({ ...TRIAL, bot: { ...bot, webhookUrl } });
    const env = envOf(containerOf(chart.get('Deployment', 'longshore-bot')));
    expect(env.get('LONGSHORE_BOT_WEBHOOK_URL')).toMatchObject({ value: webhookUrl });
    expect(env.get('LONGSHORE_BOT_WEBHOOK_SECRET')?.valueFrom.secretKeyRef).toEqual({
      name: 'telegram',
      key: 'webhook-secret',
    });
    expect(chart.of('Service').map(({ metadata }) => metadata.name)).toContain('longshore-bot');
  });
});

describe('migrations', () => {
  test('a Job named by the version of the schema, and no hook', async () => {
    const job = only((await renderChart()).of('Job').filter(({ metadata }) => !metadata.annotations));
    expect(job.metadata.name).toMatch(
      new RegExp(`^longshore-migrate-${await knownSchemaVersion()}-[0-9a-f]{8}$`),
    );
    expect(containerOf(job).args).toEqual(['migrate', '--wait=600', '--worker-login']);
  });

  test('a Job of another name when its pod is another, since Jobs cannot be changed', async () => {
    const name = async (values: object) =>
      (await renderChart({ ...TRIAL, ...values })).names.find((found) => found.includes('-migrate-'));
    expect(await name({})).toBe(await name({}));
    expect(await name({ image: { tag: 'next' } })).not.toBe(await name({}));
    expect(await name({ commonLabels: { team: 'a' } })).toBe(await name({}));
    expect(await name({ migrations: { enabled: false } })).toBeUndefined();
  });

  test('make the login of workers, the first key and the first rates, where that is asked for alone', async () => {
    const args = async (values: object) => {
      const chart = await renderChart({ ...EXTERNAL, ...values });
      const job = only(chart.of('Job').filter(({ metadata }) => !metadata.annotations));
      return { args: containerOf(job).args.slice(2), env: envOf(containerOf(job)) };
    };
    const plain = await args({});
    expect(plain.args).toEqual([]);
    expect([...plain.env.keys()]).toEqual(['LONGSHORE_POSTGRES_URL', 'LONGSHORE_MIGRATE_POSTGRES_URL']);
    expect(plain.env.get('LONGSHORE_MIGRATE_POSTGRES_URL')?.valueFrom.secretKeyRef.optional).toBe(true);
    const asked = await args({
      postgresql: { existingSecret: 'ledger', createWorkerLogin: true },
      api: { adminKey: { existingSecret: 'first', namespace: 'shop' } },
      migrations: { seedRates: true },
      defaultPools: { namespace: 'till' },
    });
    expect(asked.args).toEqual(['--worker-login', '--admin-key=shop', '--seed-rates=till']);
    expect(asked.env.get('LONGSHORE_ADMIN_API_KEY')?.valueFrom.secretKeyRef).toEqual({
      name: 'first',
      key: 'token',
    });
  });
});

describe('the bundled stores', () => {
  test('keep their data on volumes, and Redis never evicts', async () => {
    const chart = await renderChart({
      postgresql: { enabled: true, persistence: { size: '9Gi', storageClassName: 'fast' } },
      redis: { enabled: true },
    });
    const claim = only(chart.get('StatefulSet', 'longshore-postgresql').spec.volumeClaimTemplates);
    expect(claim.spec).toMatchObject({
      storageClassName: 'fast',
      resources: { requests: { storage: '9Gi' } },
    });
    const conf = chart.get('Secret', 'longshore-redis').stringData['redis.conf'];
    expect(conf).toContain('maxmemory-policy noeviction\n');
    expect(conf).toContain('appendonly yes\n');
    const redis = chart.get('StatefulSet', 'longshore-redis').spec;
    expect(only(redis.volumeClaimTemplates).spec).not.toHaveProperty('storageClassName');
  });

  test('have generated passwords that stand in Secrets alone, and whose URLs lead to their Services', async () => {
    const chart = await renderChart(TRIAL, { release: 'trial', namespace: 'dock' });
    const postgresql = chart.get('Secret', 'trial-longshore-postgresql').stringData;
    const redis = chart.get('Secret', 'trial-longshore-redis').stringData;
    const urls = [postgresql.url, postgresql['worker-url'], redis.url].map((url) => new URL(url ?? ''));
    expect(urls.map(({ hostname, port }) => `${hostname}:${port}`)).toEqual([
      'trial-longshore-postgresql.dock.svc:5432',
      'trial-longshore-postgresql.dock.svc:5432',
      'trial-longshore-redis.dock.svc:6379',
    ]);
    expect(urls.map(({ password }) => password)).toEqual([
      postgresql.password,
      postgresql['worker-password'],
      redis.password,
    ]);
    const passwords = new Set(urls.map(({ password }) => password));
    expect(passwords.size).toBe(3);
    const rest = JSON.stringify(chart.all.filter(({ kind }) => kind !== 'Secret'));
    for (const password of passwords) {
      expect(password).toMatch(/^[A-Za-z0-9]{32}$/);
      expect(rest).not.toContain(password);
    }
    expect(postgresql.url).not.toContain(`//${urls[1]?.username}:`);
  });

  test('are not there unless asked for', async () => {
    const chart = await renderChart(EXTERNAL);
    expect([...chart.of('StatefulSet'), ...chart.of('Secret')]).toEqual([]);
  });
});

describe('default pools', () => {
  test('none unless asked for', async () => {
    const chart = await renderChart();
    expect(chart.text).not.toContain('LONGSHORE_DEFAULT_POOLS_FILE');
  });

  test('are WorkerPools in a ConfigMap, with the image of the chart where they name none', async () => {
    const pools = [
      { name: 'ours', spec: { types: [{ name: 'image-convert' }], maxReplicas: 3 } },
      { name: 'theirs', spec: { types: [{ name: 'a' }], image: 'r.example/a:1' } },
    ];
    const chart = await renderChart({
      ...TRIAL,
      image: { repository: 'r.example/l', tag: 'v2' },
      defaultPools: { enabled: true, namespace: 'shop', pools },
    });
    expect(chart.of('WorkerPool')).toEqual([]);
    const text = chart.get('ConfigMap', 'longshore-default-pools').data['pools.yaml'] ?? '';
    const found = parseAllDocuments(text).map((document) => document.toJS() as Manifest);
    expect(found.map(({ kind, metadata }) => [kind, metadata.namespace, metadata.name])).toEqual([
      ['WorkerPool', 'shop', 'ours'],
      ['WorkerPool', 'shop', 'theirs'],
    ]);
    expect(found.map(({ spec }) => spec.image)).toEqual(['r.example/l:v2', 'r.example/a:1']);
    expect(found[0]?.spec.maxReplicas).toBe(3);
    const controller = containerOf(chart.get('Deployment', 'longshore-controller'));
    const mount = controller.volumeMounts.find(({ name }) => name === 'default-pools');
    expect(envOf(controller).get('LONGSHORE_DEFAULT_POOLS_FILE')?.value).toBe(
      `${mount?.mountPath}/pools.yaml`,
    );
  });
});

describe('ways in', () => {
  test('an Ingress for each host', async () => {
    const ingress = { enabled: true, className: 'nginx', hosts: ['a.example.org', 'b.example.org'] };
    const chart = await renderChart({ ...TRIAL, api: { ingress } });
    const backend = { service: { name: 'longshore-api', port: { name: 'http' } } };
    const http = { paths: [{ path: '/', pathType: 'Prefix', backend }] };
    expect(chart.get('Ingress', 'longshore-api').spec).toEqual({
      ingressClassName: 'nginx',
      rules: ingress.hosts.map((host) => ({ host, http })),
    });
  });

  test('a route of a Gateway', async () => {
    const route = {
      enabled: true,
      parentRefs: [{ name: 'edge', namespace: 'gateways' }],
      hostnames: ['a.example.org'],
    };
    const chart = await renderChart({ ...TRIAL, api: { route } });
    expect(chart.get('HTTPRoute', 'longshore-api').spec).toMatchObject({
      parentRefs: route.parentRefs,
      hostnames: route.hostnames,
      rules: [{ backendRefs: [{ name: 'longshore-api', port: 80 }] }],
    });
  });

  test('a port of the nodes', async () => {
    const chart = await renderChart({ ...TRIAL, api: { service: { type: 'NodePort', nodePort: 30_080 } } });
    expect(only(chart.get('Service', 'longshore-api').spec.ports)).toMatchObject({ nodePort: 30_080 });
    const plain = await renderChart();
    expect(only(plain.get('Service', 'longshore-api').spec.ports)).not.toHaveProperty('nodePort');
  });
});

test('what is switched off is not there', async () => {
  const off = { enabled: false };
  const chart = await renderChart({
    ...EXTERNAL,
    api: { podDisruptionBudget: off },
    controller: { podDisruptionBudget: off },
    migrations: off,
    crds: { upgrade: false },
    uninstall: { removeFinalizers: false },
    rbac: { create: false, createUserRoles: false },
    queueJobQuota: off,
    networkPolicy: off,
  });
  expect(chart.names.toSorted()).toEqual([
    'Deployment/longshore-api',
    'Deployment/longshore-controller',
    'Pod/longshore-test',
    'Service/longshore-api',
    'Service/longshore-scaler',
    'ServiceAccount/longshore-api',
    'ServiceAccount/longshore-controller',
  ]);
  const env = envOf(containerOf(chart.get('Deployment', 'longshore-controller')));
  expect(env.get('LONGSHORE_POOL_NETWORK_POLICY')?.value).toBe('false');
});

test('names fit, whatever the release is called, and two releases never meet', async () => {
  const long = 'a'.repeat(53);
  const [first, second] = await Promise.all([
    renderChart(TRIAL, { release: long, namespace: 'one' }),
    renderChart(TRIAL, { release: long, namespace: 'two' }),
  ]);
  for (const { metadata } of first.all)
    expect(metadata.name.length, metadata.name).toBeLessThanOrEqual(63 + 40);
  for (const service of first.of('Service')) expect(service.metadata.name.length).toBeLessThanOrEqual(63);
  for (const job of first.of('Job')) expect(job.metadata.name.length).toBeLessThanOrEqual(63);
  const clusterWide = ({ all }: typeof first) =>
    all.filter(({ metadata }) => metadata.namespace === undefined).map(({ metadata }) => metadata.name);
  const shared = clusterWide(first).filter((name) => clusterWide(second).includes(name));
  expect(new Set(shared)).toEqual(new Set(['longshore-user', 'longshore-admin']));
});

test('the quota on QueueJobs leaves room above the window', async () => {
  const chart = await renderChart({ ...TRIAL, queueJobQuota: { max: 2_500, namespaces: ['shop', 'dock'] } });
  expect(chart.of('ResourceQuota').map(({ metadata, spec }) => [metadata.namespace, spec.hard])).toEqual([
    ['shop', { 'count/queuejobs.longshore.dev': '2500' }],
    ['dock', { 'count/queuejobs.longshore.dev': '2500' }],
  ]);
  const quota = only((await renderChart()).of('ResourceQuota'));
  expect(Number(quota.spec.hard['count/queuejobs.longshore.dev'])).toBeGreaterThan(1_000);
});

describe('network policies', () => {
  const peers = (namespace: string, labels?: object) => ({
    namespaceSelector: namespace === '*' ? {} : { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
    ...(labels === undefined ? {} : { podSelector: { matchLabels: labels } }),
  });

  test('let KEDA alone ask the scaler, and everybody the API unless told otherwise', async () => {
    const chart = await renderChart({ ...TRIAL, networkPolicy: { kedaNamespace: 'scaling' } });
    const from = (name: string, port: string) =>
      only(chart.get('NetworkPolicy', name).spec.ingress.filter(({ ports }) => only(ports).port === port))
        .from;
    expect(from('longshore-controller', 'scaler')).toEqual([peers('scaling')]);
    expect(from('longshore-api', 'http')).toBeUndefined();
    const apiFrom = [peers('edge')];
    const narrow = await renderChart({ ...TRIAL, networkPolicy: { apiFrom } });
    const [http] = narrow.get('NetworkPolicy', 'longshore-api').spec.ingress;
    expect(http?.from).toEqual(apiFrom);
  });

  test('let nobody but processes and workers reach the bundled stores, which reach nobody', async () => {
    const chart = await renderChart();
    const own = (component: string) => ({
      podSelector: {
        matchLabels: {
          'app.kubernetes.io/name': 'longshore',
          'app.kubernetes.io/instance': 'longshore',
          'app.kubernetes.io/component': component,
        },
      },
    });
    const workers = peers('*', { 'app.kubernetes.io/name': 'longshore-worker' });
    const { spec: postgresql } = chart.get('NetworkPolicy', 'longshore-postgresql');
    expect(only(postgresql.ingress).from).toEqual([
      own('api'),
      own('controller'),
      own('migrations'),
      workers,
    ]);
    const { spec: redis } = chart.get('NetworkPolicy', 'longshore-redis');
    expect(only(redis.ingress).from).toEqual([own('api'), own('controller'), workers]);
    expect([postgresql.egress, redis.egress]).toEqual([[], []]);
  });

  test('select pods that there are', async () => {
    const chart = await renderChart();
    const labels = podsOf(chart).map(({ metadata }) => metadata.labels);
    for (const { metadata, spec } of chart.of('NetworkPolicy')) {
      const { matchLabels } = spec.podSelector as { matchLabels: Record<string, string> };
      const selected = labels.filter((own) =>
        Object.entries(matchLabels).every(([key, value]) => own[key] === value),
      );
      expect(selected, metadata.name).toHaveLength(1);
    }
  });
});

describe('rights', () => {
  const grants = async (values: object) => {
    const chart = await renderChart({ ...TRIAL, ...values });
    return [...chart.of('Role'), ...chart.of('ClusterRole')].map(({ kind, metadata }) => ({
      kind,
      name: metadata.name,
      namespace: metadata.namespace,
    }));
  };

  test('in the cluster by default', async () => {
    expect(await grants({})).toEqual([
      { kind: 'Role', name: 'longshore-election', namespace: 'harbour' },
      { kind: 'Role', name: 'harbour-longshore-uninstall-controller', namespace: 'harbour' },
      { kind: 'ClusterRole', name: 'harbour-longshore-controller', namespace: undefined },
      { kind: 'ClusterRole', name: 'longshore-user', namespace: undefined },
      { kind: 'ClusterRole', name: 'longshore-admin', namespace: undefined },
      { kind: 'ClusterRole', name: 'harbour-longshore-crds', namespace: undefined },
      { kind: 'ClusterRole', name: 'harbour-longshore-uninstall', namespace: undefined },
    ]);
  });

  test('in one namespace on request, but for the kinds, which belong to the cluster', async () => {
    const found = await grants({ watchNamespace: 'shop' });
    expect(found.filter(({ kind }) => kind === 'ClusterRole').map(({ name }) => name)).toEqual([
      'harbour-longshore-crds',
    ]);
    expect(found.filter(({ namespace }) => namespace === 'shop').map(({ name }) => name)).toEqual([
      'harbour-longshore-controller',
      'longshore-user',
      'longshore-admin',
      'harbour-longshore-uninstall-kinds',
    ]);
    const none = await grants({ watchNamespace: 'shop', crds: { upgrade: false } });
    expect(none.filter(({ kind }) => kind === 'ClusterRole')).toEqual([]);
  });

  test('each with its reason beside it', () => {
    for (const name of ['controller', 'crds', 'uninstall']) {
      const text = readFileSync(new URL(`../../k8s/rbac/longshore-${name}.yaml`, import.meta.url), 'utf8');
      for (const rule of text.split(/^ {2}- (?=apiGroups)/m).slice(1))
        expect(rule, `a rule of ${name}`).toMatch(/verbs:[^#]*# \S/);
    }
  });

  test('and no wildcard', async () => {
    for (const { rules } of (await renderChart()).all.filter(({ kind }) => kind.endsWith('Role')))
      expect(rules.flatMap((rule) => [...rule.apiGroups, ...rule.resources, ...rule.verbs])).not.toContain(
        '*',
      );
  });
});
