import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WORKER_POOL, type WorkerPool } from '../../src/core/kinds/worker-pool.ts';
import {
  DEPLOYMENT,
  NETWORK_POLICY,
  SCALED_OBJECT,
  SECRET,
  SERVICE_ACCOUNT,
} from '../../src/core/pool-manifests/resources.ts';
import { findJobType } from '../../src/ledger/job-types.ts';
import { listServedTypes } from '../../src/ledger/pools.ts';
import { startCluster } from '../support/cluster-world.ts';
import { PoolWorld } from '../support/pool-world.ts';
import { installKedaKinds } from '../support/scaled-objects.ts';
import { waitFor } from '../support/wait-for.ts';

let cluster: Awaited<ReturnType<typeof startCluster>>;
let world: PoolWorld;

beforeAll(async () => {
  cluster = await startCluster();
  await installKedaKinds(cluster.kubectl);
});
afterAll(() => cluster.server.stop());
beforeEach(async () => {
  world = await PoolWorld.create(cluster);
});
afterEach(() => world.stop());

async function row(name: string) {
  const { rows } = await world.ledger.db.query(
    `select types, max_replicas as max, paused, capacity, encode(secret_sha256, 'hex') as hash from pools
     where namespace = $1 and name = $2`,
    [world.namespace, name],
  );
  return rows[0] ?? null;
}

describe('a new pool', () => {
  it('gets everything that it consists of, owned by it', async () => {
    await world.apply('a', { minReplicas: 2, maxReplicas: 7 });
    const scaled = await world.seen(SCALED_OBJECT, 'a-worker');
    const { uid } = (await world.seen<WorkerPool>(WORKER_POOL, 'a')).metadata;
    for (const type of [SECRET, SERVICE_ACCOUNT, NETWORK_POLICY, DEPLOYMENT, SCALED_OBJECT]) {
      const { metadata } = await world.seen(type, 'a-worker');
      expect(metadata.ownerReferences).toMatchObject([{ uid, controller: true }]);
    }
    expect(scaled.spec).toMatchObject({ minReplicaCount: 2, maxReplicaCount: 7 });
    expect((await world.seen(DEPLOYMENT, 'a-worker')).spec).toMatchObject({ replicas: 2 });
  });

  it('is known to the ledger by the hash of the secret that its Secret keeps', async () => {
    await world.apply('a', { maxReplicas: 3, concurrency: 5 });
    const { data } = await world.seen(SECRET, 'a-worker');
    const secret = Buffer.from(data?.['pool-secret'] ?? '', 'base64').toString();
    expect(secret).toHaveLength(43);
    const known = await waitFor(() => row('a'), { describe: 'the row' });
    expect(known).toEqual({
      types: ['echo'],
      max: 3,
      paused: false,
      capacity: 15,
      hash: createHash('sha256').update(secret).digest('hex'),
    });
    expect(await listServedTypes(world.ledger.db, 45)).toMatchObject([{ type: 'echo', capacity: 15 }]);
  });

  it('leaves replicas to KEDA, whatever changes', async () => {
    await world.apply('a');
    await world.seen(SCALED_OBJECT, 'a-worker');
    await world.scale('a-worker', 5);
    await world.apply('a', { concurrency: 3, env: [{ name: 'A', value: '1' }] });
    const withA = (text: string) => text.includes('"name":"A"');
    const changed = await world.seen(DEPLOYMENT, 'a-worker', (d) => withA(JSON.stringify(d.spec)));
    expect(changed.spec).toMatchObject({ replicas: 5 });
    await world.apply('a', { concurrency: 4 });
    const again = await world.seen(DEPLOYMENT, 'a-worker', (d) => !withA(JSON.stringify(d.spec)));
    expect(again.spec).toMatchObject({ replicas: 5 });
  });

  it('makes pods that the restricted profile takes', async () => {
    const { namespace, kubectl } = world;
    await kubectl(['label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted']);
    await world.apply('a', {
      podTemplate: {
        securityContext: { runAsUser: 4_000, fsGroup: 4_000 },
        volumes: [{ name: 'v', emptyDir: {} }],
        volumeMounts: [{ name: 'v', mountPath: '/v' }],
      },
    });
    const { spec } = await world.seen(DEPLOYMENT, 'a-worker');
    const template = spec.template as { metadata: object; spec: { securityContext: object } };
    const tryPod = (podSpec: object) =>
      kubectl(
        ['-n', namespace, 'create', '--dry-run=server', '-f', '-'],
        JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'tried' }, spec: podSpec }),
      );
    expect(await tryPod(template.spec)).toContain('pod/tried created');
    const asRoot = {
      ...template.spec,
      securityContext: { ...template.spec.securityContext, runAsNonRoot: false },
    };
    await expect(tryPod(asRoot)).rejects.toThrow('violates PodSecurity');
  });
});

describe('a pool that changes', () => {
  it('rolls its pods for a new image, and not for a new maximum', async () => {
    await world.apply('a');
    const first = await world.seen(DEPLOYMENT, 'a-worker');
    await world.apply('a', { maxReplicas: 20 });
    await world.seen(SCALED_OBJECT, 'a-worker', (so) => so.spec.maxReplicaCount === 20);
    const same = await world.seen(DEPLOYMENT, 'a-worker');
    expect(same.spec.template).toEqual(first.spec.template);
    await world.apply('a', { maxReplicas: 20, image: 'registry.example/worker:2' });
    await world.seen(DEPLOYMENT, 'a-worker', (d) => JSON.stringify(d.spec).includes('worker:2'));
    await waitFor(async () => (await row('a'))?.max === 20, { describe: 'the row' });
  });

  it('keeps its secret; one that is lost is made again, and rolls the pods', async () => {
    await world.apply('a');
    const before = (await world.seen(SECRET, 'a-worker')).data;
    const annotation = async () =>
      JSON.stringify((await world.seen(DEPLOYMENT, 'a-worker')).spec.template).match(/[0-9a-f]{64}/)?.[0];
    const hash = await annotation();
    await world.apply('a', { concurrency: 7 });
    await waitFor(async () => (await row('a'))?.capacity === 70, { describe: 'the change' });
    expect((await world.seen(SECRET, 'a-worker')).data).toEqual(before);
    await world.client.delete(SECRET, world.ref('a-worker'));
    await world.apply('a', { concurrency: 8 });
    await waitFor(async () => (await annotation()) !== hash, { describe: 'another hash' });
    expect((await world.seen(SECRET, 'a-worker')).data).not.toEqual(before);
  });

  it('that pauses serves nothing and lets its pods go', async () => {
    await world.apply('a', { minReplicas: 2 });
    await world.condition('a', 'Ready', 'Starting');
    await world.apply('a', { minReplicas: 2, paused: true });
    expect(await world.condition('a', 'Ready', 'Paused')).toMatchObject({ status: 'False' });
    await world.seen(SCALED_OBJECT, 'a-worker', (so) => so.spec.minReplicaCount === 0);
    expect(await listServedTypes(world.ledger.db, 45)).toEqual([]);
    await world.apply('a', { minReplicas: 2 });
    await waitFor(async () => (await listServedTypes(world.ledger.db, 45)).length > 0, {
      describe: 'its types',
    });
  });
});

describe('types of a pool', () => {
  const own = { name: 'mine', inputSchema: { type: 'object', required: ['n'] } };

  it('are written into the ledger, changed, and forgotten', async () => {
    const limits = { maxRunning: 3, rate: { count: 5, perSeconds: 2 } };
    await world.apply('a', { types: [{ ...own, defaults: { retries: 50 }, limits }] });
    const read = () => findJobType(world.ledger.db, world.namespace, 'mine');
    const found = await waitFor(read, { describe: 'the type' });
    expect(found).toMatchObject({
      inputSchema: own.inputSchema,
      limits,
      defaults: { retries: 50, maxRetries: 50 },
    });
    await world.apply('a', { types: [{ ...own, name: 'yours' }] });
    await waitFor(
      async () => (await read()) === null && (await findJobType(world.ledger.db, world.namespace, 'yours')),
      { describe: 'the other type' },
    );
  });

  it.each([
    ['no JSON Schema', { type: 'nonsense' }, '/spec/types/0/inputSchema: cannot be used'],
    ['a reference elsewhere', { $ref: 'https://example.com/x' }, 'refers to another document'],
    ['more than 32 KiB', { description: 'x'.repeat(33_000) }, '32768 are allowed'],
    ['what the ledger cannot keep', { const: '\0' }, 'U+0000'],
  ])('with a schema that is %s say so, and nothing is made', async (_what, inputSchema, message) => {
    await world.apply('a', { types: [{ name: 'mine', inputSchema }] });
    const ready = await world.condition('a', 'Ready', 'InvalidTypeSchema');
    expect(ready.message).toContain(message);
    expect(await world.read(DEPLOYMENT, 'a-worker')).toBeNull();
    expect(await row('a')).toBeNull();
    await world.apply('a', { types: [own] });
    await world.condition('a', 'Ready', 'Idle');
  });

  it('that nobody knows say so, until somebody declares them', async () => {
    await world.apply('a', { types: [{ name: 'mine' }] });
    const ready = await world.condition('a', 'Ready', 'UnknownType');
    expect(ready.message).toContain('/spec/types/0: there is no type "mine"');
    expect(ready.message).toContain('inputSchema');
  });
});

describe('two pools', () => {
  it('of one namespace that claim one type: the younger waits, and takes over when the elder goes', async () => {
    await world.apply('elder', { types: [{ name: 'echo' }, { name: 'other' }] });
    await world.seen(DEPLOYMENT, 'elder-worker');
    const { creationTimestamp = '' } = (await world.seen(WORKER_POOL, 'elder')).metadata;
    const isLater = () => Date.now() > Date.parse(creationTimestamp) + 1_000;
    await waitFor(isLater, { describe: 'the next second, as times of creation have whole ones' });
    await world.apply('younger');
    const conflict = await world.condition('younger', 'Ready', 'TypeConflict');
    expect(conflict.message).toContain('"elder"');
    expect(await world.read(DEPLOYMENT, 'younger-worker')).toBeNull();
    await world.kubectl(['-n', world.namespace, 'delete', 'wp/elder', '--wait=false']);
    await world.seen(DEPLOYMENT, 'younger-worker');
    await waitFor(() => row('younger'), { describe: 'the row' });
  });
});
