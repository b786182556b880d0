import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { PoolOptions } from '../../src/controller/pools/worker-pools.ts';
import { DELETION_COST_ANNOTATION } from '../../src/core/deletion-cost.ts';
import { WORKER_POOL, type WorkerPool } from '../../src/core/kinds/worker-pool.ts';
import { DEPLOYMENT, POD, SCALED_OBJECT, SECRET } from '../../src/core/pool-manifests/resources.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { startCluster } from '../support/cluster-world.ts';
import { anyType } from '../support/embedded.ts';
import { newJob } from '../support/ledger.ts';
import { PoolWorld } from '../support/pool-world.ts';
import { installKedaKinds, removeKedaKinds } from '../support/scaled-objects.ts';
import { waitFor } from '../support/wait-for.ts';

let cluster: Awaited<ReturnType<typeof startCluster>>;
let world: PoolWorld;
const READY = { conditions: [{ type: 'Ready', status: 'True' }] };

beforeAll(async () => {
  cluster = await startCluster();
  await installKedaKinds(cluster.kubectl);
});
afterAll(() => cluster.server.stop());
afterEach(() => world.stop());

async function start(options: Partial<PoolOptions> = {}): Promise<void> {
  world = await PoolWorld.create(cluster, options);
}

const poolRows = async () =>
  (await world.ledger.db.query('select name, paused from pools where namespace = $1', [world.namespace]))
    .rows;

async function secretOf(name: string): Promise<string> {
  const { data } = await world.seen(SECRET, name);
  return Buffer.from(data?.['pool-secret'] ?? '', 'base64').toString();
}

/** Times of creation have whole seconds. */
async function nextSecond(pool: string): Promise<void> {
  const { creationTimestamp = '' } = (await world.seen(WORKER_POOL, pool)).metadata;
  const isLater = () => Date.now() > Date.parse(creationTimestamp) + 1_000;
  await waitFor(isLater, { describe: 'the next second' });
}

describe('without KEDA', () => {
  it('a pool has a fixed number of pods, and is scaled as soon as KEDA comes', async () => {
    await removeKedaKinds(cluster.kubectl);
    await start();
    await world.apply('a');
    const scaler = await world.condition('a', 'ScalerReady', 'KedaNotInstalled');
    expect(scaler).toMatchObject({ status: 'False' });
    expect(scaler.message).toContain('install KEDA');
    await world.seen(DEPLOYMENT, 'a-worker', ({ spec }) => spec.replicas === 1);
    await world.apply('a', { minReplicas: 3 });
    await world.seen(DEPLOYMENT, 'a-worker', ({ spec }) => spec.replicas === 3);
    await installKedaKinds(cluster.kubectl);
    await world.seen(SCALED_OBJECT, 'a-worker');
    await world.setScaledObjectReady('a-worker');
    expect(await world.condition('a', 'ScalerReady', 'ScalerActive')).toMatchObject({ status: 'True' });
    await world.scale('a-worker', 6);
    await world.apply('a', { minReplicas: 3, concurrency: 9 });
    await world.seen(DEPLOYMENT, 'a-worker', ({ spec }) => JSON.stringify(spec).includes('"9"'));
    expect((await world.seen(DEPLOYMENT, 'a-worker')).spec).toMatchObject({ replicas: 6 });
  });
});

describe('a pool that is deleted', () => {
  it('drains first: nothing scales it, its pods end their jobs, and then everything goes', async () => {
    await start();
    await world.apply('a');
    await world.seen(SCALED_OBJECT, 'a-worker');
    await world.scale('a-worker', 1);
    await world.addPod('a-worker', 'a-worker-1', READY);
    await world.kubectl(['-n', world.namespace, 'delete', 'wp/a', '--wait=false']);
    await world.gone(SCALED_OBJECT, 'a-worker');
    await world.seen(DEPLOYMENT, 'a-worker', ({ spec }) => spec.replicas === 0);
    const draining = await world.condition('a', 'Progressing', 'Draining');
    expect(draining.message).toContain('1 pods');
    expect(await poolRows()).toEqual([{ name: 'a', paused: true }]);
    expect(await world.read(SECRET, 'a-worker')).not.toBeNull();
    await world.deletePod('a-worker-1');
    await world.gone(WORKER_POOL, 'a');
    expect(await world.read(DEPLOYMENT, 'a-worker')).toBeNull();
    expect(await world.read(SECRET, 'a-worker')).toBeNull();
    expect(await poolRows()).toEqual([]);
  });

  it('whose finalizer somebody took off is forgotten all the same', async () => {
    await start();
    await world.apply('a');
    await waitFor(async () => (await poolRows()).length === 1, { describe: 'the row' });
    const patch = ['--type=merge', '-p', '{"metadata":{"finalizers":null}}'];
    await world.kubectl(['-n', world.namespace, 'delete', 'wp/a', '--wait=false']);
    await world.kubectl(['-n', world.namespace, 'patch', 'wp/a', ...patch]).catch(() => '');
    await waitFor(async () => (await poolRows()).length === 0, { describe: 'no row' });
  });
});

describe('what keeps pods from working is on the pool', () => {
  const waiting = (reason: string, message: string) => ({
    phase: 'Pending',
    containerStatuses: [
      {
        name: 'worker',
        image: 'x',
        imageID: '',
        ready: false,
        restartCount: 0,
        state: { waiting: { reason, message } },
      },
    ],
  });

  it.each([
    ['ImagePullFailed', waiting('ImagePullBackOff', 'not found: manifest unknown'), 'check spec.image'],
    ['ConfigMissing', waiting('CreateContainerConfigError', 'secret "keys" not found'), 'make the Secret'],
  ])('%s, until it is repaired', async (reason, status, advice) => {
    await start();
    await world.apply('a');
    await world.seen(SCALED_OBJECT, 'a-worker');
    await world.scale('a-worker', 1);
    await world.addPod('a-worker', 'a-worker-1', status);
    const ready = await world.condition('a', 'Ready', reason);
    expect(ready).toMatchObject({ status: 'False' });
    expect(ready.message).toContain(advice);
    await world.deletePod('a-worker-1');
    await world.addPod('a-worker', 'a-worker-2', READY);
    await world.condition('a', 'Ready', 'Available');
  });

  it('QuotaExceeded, as the Deployment says it', async () => {
    await start();
    await world.apply('a');
    await world.seen(SCALED_OBJECT, 'a-worker');
    await world.scale('a-worker', 1);
    const message = 'pods "a-worker-x" is forbidden: exceeded quota: small, requested: requests.cpu=2';
    await world.setDeploymentStatus('a-worker', {
      conditions: [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message }],
    });
    expect((await world.condition('a', 'Ready', 'QuotaExceeded')).message).toContain('exceeded quota: small');
  });

  it('ApplyFailed, in the words of the API server', async () => {
    await start();
    await world.apply('a', { podTemplate: { affinity: { nodeAffinity: { nonsense: true } } } });
    const ready = await world.condition('a', 'Ready', 'ApplyFailed');
    expect(ready.message).toContain('nonsense');
    await world.apply('a');
    await world.condition('a', 'Ready', 'Idle');
  });

  it('TooManyConnections, and an older pool is left alone', async () => {
    await start({ connections: async () => ({ available: 30, source: 'max_connections' }) });
    await world.apply('elder', { maxReplicas: 10 });
    await world.condition('elder', 'Ready', 'Idle');
    await nextSecond('elder');
    await world.apply('younger', { types: [{ name: 'other' }], maxReplicas: 10 });
    const ready = await world.condition('younger', 'Ready', 'TooManyConnections');
    expect(ready.message).toContain('lower maxReplicas to 3');
    expect(await world.read(DEPLOYMENT, 'younger-worker')).toBeNull();
    await world.apply('younger', { types: [{ name: 'other' }], maxReplicas: 3 });
    await world.condition('younger', 'Ready', 'Idle');
  });
});

describe('the status of a pool', () => {
  it('has the figures of its work, written at a bounded rate', async () => {
    await start({ figuresMs: 2_000 });
    await world.apply('a');
    await world.condition('a', 'Ready', 'Idle');
    const before = statusWrites();
    const startedAt = performance.now();
    for (let round = 1; round <= 20; round += 1) {
      await acceptJobs(world.ledger.db, [newJob({ namespace: world.namespace, type: 'echo' })]);
      await waitFor(() => performance.now() > startedAt + round * 150, { describe: 'the next moment' });
    }
    await world.seen<WorkerPool>(
      WORKER_POOL,
      'a',
      ({ status }) => status?.queued === 20 && status.load === 20,
    );
    const most = 1 + Math.ceil((performance.now() - startedAt) / 2_000);
    expect(statusWrites() - before).toBeLessThanOrEqual(most);
    const pool = await world.read<WorkerPool>(WORKER_POOL, 'a');
    expect(pool?.status).toMatchObject({ active: 0, types: 'echo', observedGeneration: 1, replicas: 0 });
  });

  const statusWrites = () =>
    world.controller.requests.filter(({ path }) => path.endsWith('/workerpools/a/status')).length;
});

it('scale-in is pointed at idle pods, while there is less work than pods', async () => {
  await start({ deletionCostMs: 60_000 });
  await world.apply('a', { concurrency: 2 });
  await world.seen(SCALED_OBJECT, 'a-worker');
  await waitFor(async () => (await poolRows()).length === 1, { describe: 'the row' });
  const [accepted] = await acceptJobs(world.ledger.db, [
    newJob({ namespace: world.namespace, type: 'echo' }),
  ]);
  const identity = {
    secret: await secretOf('a-worker'),
    workerId: 'a-worker-busy-1-0a1b2c3d',
    leaseSeconds: 30,
  };
  const worker = new WorkerLedger(world.ledger.db, identity);
  await worker.claim([{ id: accepted?.jobId ?? '', lease: 0 }]);
  await world.addPod('a-worker', 'a-worker-busy', READY);
  await world.addPod('a-worker', 'a-worker-idle', READY);
  const cost = async (name: string) =>
    (await world.seen(POD, name)).metadata.annotations?.[DELETION_COST_ANNOTATION];
  await waitFor(async () => (await cost('a-worker-idle')) === '-100', {
    describe: 'the cost of an idle pod',
  });
  expect(await cost('a-worker-busy')).toBe('50');
  // The test plays the kubelet by the same client, which writes their status.
  const costWrites = () =>
    world.controller.writesOf('/pods/').filter(({ path }) => !path.endsWith('/status')).length;
  const before = costWrites();
  await world.addPod('a-worker', 'a-worker-new', READY);
  await world.seen<WorkerPool>(WORKER_POOL, 'a', ({ status }) => status?.ready === 3);
  expect(costWrites()).toBe(before);
});

it('a job without a pool is accepted and says so; it runs as soon as a pool comes', async () => {
  await start();
  const job = {
    apiVersion: 'longshore.dev/v1alpha1',
    kind: 'QueueJob',
    metadata: world.ref('early'),
    spec: { type: 'echo' },
  };
  await world.kubectl(['apply', '-f', '-'], JSON.stringify(job));
  const conditions = ['-n', world.namespace, 'get', 'qj/early', '-o', 'jsonpath={.status.conditions}'];
  const text = await waitFor(
    () => world.kubectl(conditions),
    (found) => found.includes('NoWorkerPool'),
    { timeoutMs: 20_000, describe: 'NoWorkerPool' },
  );
  const seen = JSON.parse(text) as { type: string; status: string }[];
  expect(seen.find(({ type }) => type === 'Accepted')).toMatchObject({ status: 'True' });
  expect(seen.find(({ type }) => type === 'Scheduled')).toMatchObject({ status: 'False' });
  await world.apply('late');
  await waitFor(async () => (await poolRows()).length === 1, { describe: 'the row' });
  world.ledger.poolSecret = await secretOf('late-worker');
  const { stop } = await world.controller.startWorker([anyType('echo', async () => 'done')]);
  try {
    await world.kubectl([
      '-n',
      world.namespace,
      'wait',
      '--for=condition=Finished',
      '--timeout=30s',
      'qj/early',
    ]);
    const phase = ['-n', world.namespace, 'get', 'qj/early', '-o', 'jsonpath={.status.phase}'];
    expect(await world.kubectl(phase)).toBe('Succeeded');
  } finally {
    await stop();
  }
});
