import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { silentLogger } from '../../src/core/logger.ts';
import { createKubeClient, type KubeClient } from '../../src/kube/client.ts';
import {
  isAlreadyExists,
  isConflict,
  isInvalid,
  isNotFound,
  isUnanswered,
} from '../../src/kube/kube-api-error.ts';
import { type Lease, LeaseElector } from '../../src/kube/lease-elector.ts';
import { Reflector, type ReflectorEvent } from '../../src/kube/reflector.ts';
import { type KubeObject, LEASE, type ResourceType } from '../../src/kube/resource-type.ts';
import { ObjectStore } from '../../src/kube/store.ts';
import { type HttpFaultProxy, startHttpFaultProxy } from '../support/http-fault-proxy.ts';
import { type SharedKubeApiserver, sharedKubeApiserver } from '../support/kube-apiserver.ts';
import { writeKubeconfig } from '../support/kubeconfig.ts';

interface Dock extends KubeObject {
  spec?: { berth?: number; note?: string };
}

const DOCK: ResourceType = {
  group: 'test.longshore.dev',
  version: 'v1',
  plural: 'docks',
  kind: 'Dock',
  namespaced: true,
};
const CRD: ResourceType = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};
const NAMESPACE: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
};

let server: SharedKubeApiserver;
let proxy: HttpFaultProxy;
let folder: string;
let direct: KubeClient;
let client: KubeClient;
let namespaces = 0;

function dockCrd(): KubeObject & Record<string, unknown> {
  const spec = {
    type: 'object',
    properties: { berth: { type: 'integer', minimum: 0 }, note: { type: 'string' } },
  };
  return {
    metadata: { name: 'docks.test.longshore.dev' },
    spec: {
      group: DOCK.group,
      scope: 'Namespaced',
      names: { plural: 'docks', singular: 'dock', kind: 'Dock' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', properties: { spec } } },
        },
      ],
    },
  };
}

async function newNamespace(): Promise<string> {
  namespaces += 1;
  const name = `reflector-${process.pid}-${namespaces}`;
  await direct.create(NAMESPACE, { metadata: { name } });
  return name;
}

function dock(namespace: string, name: string, berth = 1): Dock {
  return { metadata: { namespace, name }, spec: { berth } };
}

function follow(namespace: string, options: { idleTimeoutMs?: number } = {}) {
  const store = new ObjectStore<Dock>({ logger: silentLogger });
  const events: ReflectorEvent[] = [];
  const reflector = new Reflector<Dock>({
    client,
    type: DOCK,
    store,
    namespace,
    logger: silentLogger,
    minBackoffMs: 20,
    maxBackoffMs: 100,
    onEvent: (event) => events.push(event),
    ...options,
  });
  reflector.start();
  return { store, reflector, events };
}

const keys = (store: ObjectStore<Dock>): string[] =>
  [...store.values()].map((object) => object.metadata.name).sort();
const soon = { timeout: 10_000, interval: 20 };

beforeAll(async () => {
  server = await sharedKubeApiserver();
  direct = createKubeClient({ kubeconfigPath: server.kubeconfigPath, fieldManager: 'longshore-test' });
  proxy = await startHttpFaultProxy({
    target: server.url,
    caPath: join(server.kubeconfigPath, '../pki/apiserver.crt'),
  });
  folder = await mkdtemp(join(tmpdir(), 'longshore-proxy-'));
  const kubeconfigPath = join(folder, 'kubeconfig');
  await writeKubeconfig(kubeconfigPath, proxy.url, server.token);
  client = createKubeClient({ kubeconfigPath, fieldManager: 'longshore-test' });
  await direct.applySsa(CRD, dockCrd());
  await vi.waitFor(() => direct.list(DOCK), soon);
});

afterAll(async () => {
  await client?.close();
  await direct?.close();
  await proxy?.close();
  await server?.release();
  if (folder !== undefined) await rm(folder, { recursive: true });
});

test.each(['reset', 'end', 'silence'] as const)('follows changes through a watch cut by %s', async (how) => {
  const namespace = await newNamespace();
  const { store, reflector } = follow(namespace, { idleTimeoutMs: 1_500 });
  await direct.create(DOCK, dock(namespace, 'a'));
  await vi.waitFor(() => expect(keys(store)).toEqual(['a']), soon);
  await vi.waitFor(() => expect(proxy.openWatches).toBe(1), soon);
  expect(proxy.cutWatches(how)).toBe(1);
  await direct.create(DOCK, dock(namespace, 'b'));
  await direct.delete(DOCK, { namespace, name: 'a' });
  await vi.waitFor(() => expect(keys(store)).toEqual(['b']), soon);
  expect(reflector.stats.lists).toBe(1);
  await reflector.stop();
});

test('lists again after 410, and goes on after 500', async () => {
  const namespace = await newNamespace();
  const { store, reflector, events } = follow(namespace);
  await reflector.waitForSync(AbortSignal.timeout(10_000));
  await vi.waitFor(() => expect(proxy.openWatches).toBe(1), soon);
  const match = (request: { isWatch: boolean }): boolean => request.isWatch;
  const failing = proxy.plan({ match, fault: { kind: 'status', status: 500 }, times: 2 });
  const gone = proxy.plan({ match, fault: { kind: 'status', status: 410 } });
  proxy.cutWatches('reset');
  await direct.create(DOCK, dock(namespace, 'a'));
  await vi.waitFor(() => expect(keys(store)).toEqual(['a']), soon);
  expect([failing.hits, gone.hits]).toEqual([2, 1]);
  expect(reflector.stats).toMatchObject({ lists: 2, gone: 1 });
  expect(events).toContainEqual(expect.objectContaining({ type: 'listed', reason: 'gone' }));
  await reflector.stop();
});

test.each(['list', 'watch', 'back-off'] as const)('stops for good during a %s', async (phase) => {
  const namespace = await newNamespace();
  const match = (request: { path: string; isWatch: boolean }): boolean =>
    request.path.includes(namespace) && request.isWatch === (phase === 'watch');
  const fault =
    phase === 'back-off' ? ({ kind: 'status', status: 403 } as const) : ({ kind: 'hang' } as const);
  const plan = proxy.plan({ match, fault, times: Infinity });
  const { reflector } = follow(namespace);
  await plan.waitForHits(1);
  await reflector.stop();
  const asked = () => proxy.requests.filter(({ path }) => path.includes(namespace)).length;
  const before = asked();
  // Another one in trouble is the clock: while it comes again five times, this one would have too.
  const other = await newNamespace();
  const failing = proxy.plan({
    match: ({ path }) => path.includes(other),
    fault: { kind: 'status', status: 403 },
    times: Infinity,
  });
  const { reflector: clock } = follow(other);
  await failing.waitForHits(5);
  await clock.stop();
  expect(asked()).toBe(before);
  plan.remove();
  failing.remove();
});

test('wraps errors, and tells when the outcome of a write is unknown', async () => {
  const namespace = await newNamespace();
  const made = await client.create(DOCK, dock(namespace, 'a'));
  const caught = (promise: Promise<unknown>) =>
    promise.then(
      () => undefined,
      (error: unknown) => error,
    );
  expect(isAlreadyExists(await caught(client.create(DOCK, dock(namespace, 'a'))))).toBe(true);
  expect(isInvalid(await caught(client.create(DOCK, dock(namespace, 'bad', -1))))).toBe(true);
  expect(isNotFound(await caught(client.get(DOCK, { namespace, name: 'none' })))).toBe(true);
  const other = '00000000-0000-0000-0000-000000000000';
  expect(isConflict(await caught(client.delete(DOCK, { namespace, name: 'a' }, { uid: other })))).toBe(true);
  proxy.plan({ match: (request) => request.method === 'POST', fault: { kind: 'after' } });
  expect(isUnanswered(await caught(client.create(DOCK, dock(namespace, 'b'))))).toBe(true);
  await expect(direct.get(DOCK, { namespace, name: 'b' })).resolves.toMatchObject({ spec: { berth: 1 } });
  const ref = { namespace, name: 'a' };
  const applied = await client.applySsa<Dock>(DOCK, { metadata: ref, spec: { berth: 2, note: 'x' } });
  expect(applied.metadata.uid).toBe(made.metadata.uid);
  expect((await client.applySsa<Dock>(DOCK, { metadata: ref, spec: { berth: 3 } })).spec).toEqual({
    berth: 3,
  });
});

test('a delete keeps its connection for the next call', async () => {
  const namespace = await newNamespace();
  const one = createKubeClient({
    kubeconfigPath: server.kubeconfigPath,
    fieldManager: 'longshore-test',
    connections: 1,
  });
  let connections = 0;
  const onConnected = () => {
    connections += 1;
  };
  subscribe('undici:client:connected', onConnected);
  try {
    for (const name of ['a', 'b', 'c']) {
      await one.create(DOCK, dock(namespace, name));
      await one.delete(DOCK, { namespace, name });
      await expect(one.delete(DOCK, { namespace, name })).rejects.toSatisfy(isNotFound);
    }
  } finally {
    unsubscribe('undici:client:connected', onConnected);
    await one.close();
  }
  expect(connections).toBe(1);
});

test('a second candidate leads after a clean release at once, and after a crash when the Lease runs out', async () => {
  const namespace = await newNamespace();
  const lease = { namespace, name: 'leader' };
  const timing = { leaseDurationMs: 2_000, renewDeadlineMs: 1_500, retryPeriodMs: 100 };
  const led: string[] = [];
  const candidate = (identity: string, through: KubeClient) =>
    new LeaseElector({
      ...timing,
      client: through,
      lease,
      identity,
      logger: silentLogger,
      onStartedLeading: async (signal) => {
        led.push(identity);
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    });
  const [stopA, stopB, stopC] = [new AbortController(), new AbortController(), new AbortController()];
  const a = candidate('a', direct).run(stopA.signal);
  await vi.waitFor(() => expect(led).toEqual(['a']), soon);
  const b = candidate('b', client).run(stopB.signal);
  stopA.abort();
  await expect(a).resolves.toBe('released');
  await vi.waitFor(() => expect(led).toEqual(['a', 'b']), soon);
  const c = candidate('c', direct).run(stopC.signal);
  // Nothing of b reaches the API server any more.
  const cut = proxy.plan({ match: () => true, fault: { kind: 'before' }, times: Infinity });
  await expect(b).resolves.toBe('lost');
  await vi.waitFor(() => expect(led).toEqual(['a', 'b', 'c']), soon);
  cut.remove();
  const record = await direct.get<Lease>(LEASE, lease);
  expect(record.spec).toMatchObject({ holderIdentity: 'c', leaseTransitions: 2 });
  stopC.abort();
  await expect(c).resolves.toBe('released');
});
