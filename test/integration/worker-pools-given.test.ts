import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { DefaultPools } from '../../src/controller/pools/default-pools.ts';
import { API_VERSION } from '../../src/core/kinds/meta.ts';
import { WORKER_POOL } from '../../src/core/kinds/worker-pool.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { DEPLOYMENT, SCALED_OBJECT } from '../../src/core/pool-manifests/resources.ts';
import { startCluster } from '../support/cluster-world.ts';
import { PoolWorld } from '../support/pool-world.ts';
import { installKedaKinds } from '../support/scaled-objects.ts';

const EXAMPLE = fileURLToPath(new URL('../../examples/kubernetes/worker-pool.yaml', import.meta.url));

let cluster: Awaited<ReturnType<typeof startCluster>>;
let world: PoolWorld;
let folder: string;

beforeAll(async () => {
  cluster = await startCluster();
  await installKedaKinds(cluster.kubectl);
  folder = await mkdtemp(join(tmpdir(), 'longshore-pools-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await cluster.server.stop();
});
afterEach(() => world.stop());

function manifest(name: string, spec: object = {}): string {
  return JSON.stringify({
    apiVersion: API_VERSION,
    kind: 'WorkerPool',
    metadata: { name, namespace: world.namespace },
    spec: { image: 'worker:1', types: [{ name }], ...spec },
  });
}

it('the example becomes pods', async () => {
  world = await PoolWorld.create(cluster, { isShipped: (type) => type === 'contract-source' });
  await world.kubectl(['-n', world.namespace, 'apply', '-f', EXAMPLE]);
  await world.seen(DEPLOYMENT, 'contracts-worker');
  await world.seen(SCALED_OBJECT, 'contracts-worker');
  await world.condition('contracts', 'Ready', 'Idle');
  expect(await readFile(EXAMPLE, 'utf8')).toContain('imagePullPolicy: IfNotPresent');
});

it('pools of a file are applied, and again when it changes; what others changed elsewhere in them stays', async () => {
  world = await PoolWorld.create(cluster);
  const file = join(folder, 'pools.yaml');
  await writeFile(file, `${manifest('echo')}\n---\n${manifest('other')}\n`);
  const pools = new DefaultPools({ client: world.client, file, logger: silentLogger });
  const { signal } = new AbortController();
  expect(await pools.runOnce(signal)).toEqual({ applied: 2 });
  await world.seen(DEPLOYMENT, 'echo-worker');
  await world.seen(DEPLOYMENT, 'other-worker');
  const patch = ['--type=merge', '-p', '{"spec":{"maxReplicas":3}}'];
  await world.kubectl(['-n', world.namespace, 'patch', 'wp/echo', ...patch]);
  expect(await pools.runOnce(signal)).toEqual({ applied: 0 });
  await writeFile(file, manifest('echo', { concurrency: 7 }));
  expect(await pools.runOnce(signal)).toEqual({ applied: 1 });
  expect((await world.seen(WORKER_POOL, 'echo')).spec).toMatchObject({ concurrency: 7, maxReplicas: 3 });
  expect(await world.read(WORKER_POOL, 'other')).not.toBeNull();
});

it('one wrong pool of a file keeps no other from being applied, and is tried again', async () => {
  world = await PoolWorld.create(cluster);
  const file = join(folder, 'wrong.yaml');
  await writeFile(file, `${manifest('other', { minReplicas: 99 })}\n---\n${manifest('echo')}\n`);
  const pools = new DefaultPools({ client: world.client, file, logger: silentLogger });
  const { signal } = new AbortController();
  await expect(pools.runOnce(signal)).rejects.toThrow('Failed to apply 1 pools');
  await world.seen(WORKER_POOL, 'echo');
  await expect(pools.runOnce(signal)).rejects.toThrow('Failed to apply 1 pools');
});
