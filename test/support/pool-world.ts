import { randomBytes } from 'node:crypto';
import type { PoolOptions } from '../../src/controller/pools/worker-pools.ts';
import { API_VERSION } from '../../src/core/kinds/meta.ts';
import {
  WORKER_POOL,
  WORKER_POOL_KIND,
  type WorkerPool,
  type WorkerPoolSpec,
} from '../../src/core/kinds/worker-pool.ts';
import { DEPLOYMENT, POD, SCALED_OBJECT } from '../../src/core/pool-manifests/resources.ts';
import type { PoolSettings } from '../../src/core/pool-manifests/settings.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { isNotFound } from '../../src/kube/kube-api-error.ts';
import { type KubeObject, objectPath, type ResourceType } from '../../src/kube/resource-type.ts';
import { ClusterController, type ClusterControllerOptions } from './cluster-controller.ts';
import type { Kubectl } from './crds.ts';
import type { LocalApiserver } from './kube-apiserver.ts';
import { createTestLedger, type TestLedger } from './ledger.ts';
import { waitFor } from './wait-for.ts';

export const POOL_SETTINGS: PoolSettings = {
  workerPostgresUrl: 'postgres://worker@db.example:5432/longshore',
  redisUrl: 'redis://redis.example:6379',
  redisPrefix: 'longshore',
  scalerAddress: 'longshore-scaler.longshore.svc:9091',
  scalerAuthentication: null,
  scalerCa: null,
  env: {},
  egressPorts: [443],
  networkPolicy: true,
  monitorLabels: {},
};

/** An object of any kind, for those who look into it. */
export interface Seen extends KubeObject {
  spec: Record<string, unknown>;
  data?: Record<string, string>;
}

/** A namespace, a ledger and a controller of one test that makes pools. There is no kubelet: the test plays the cluster. */
export class PoolWorld {
  readonly namespace = `pools-${randomBytes(4).toString('hex')}`;
  readonly kubectl: Kubectl;
  readonly ledger: TestLedger;
  readonly controller: ClusterController;

  private constructor(
    cluster: { server: LocalApiserver; kubectl: Kubectl },
    ledger: TestLedger,
    options: { pools: Partial<PoolOptions>; controller: Partial<ClusterControllerOptions> },
  ) {
    this.kubectl = cluster.kubectl;
    this.ledger = ledger;
    const pools: PoolOptions = {
      settings: async () => POOL_SETTINGS,
      connections: async () => ({ available: 1_000, source: 'the test' }),
      isShipped: (type) => ['echo', 'other'].includes(type),
      figuresReadMs: 200,
      figuresMs: 300,
      statusMs: 100,
      kindsMs: 200,
      resyncMs: 1_000,
      ...options.pools,
    };
    this.controller = new ClusterController({
      ledger,
      kubeconfigPath: cluster.server.kubeconfigPath,
      ...options.controller,
      cluster: { namespace: this.namespace, pools, ...options.controller.cluster },
    });
  }

  static async create(
    cluster: { server: LocalApiserver; kubectl: Kubectl },
    pools: Partial<PoolOptions> = {},
    controller: Partial<ClusterControllerOptions> = {},
  ): Promise<PoolWorld> {
    const world = new PoolWorld(cluster, await createTestLedger([]), { pools, controller });
    await world.kubectl(['create', 'namespace', world.namespace]);
    world.controller.startLeading();
    return world;
  }

  get client(): KubeClient {
    return this.controller.client;
  }

  ref(name: string): { namespace: string; name: string } {
    return { namespace: this.namespace, name };
  }

  apply(name: string, spec: Partial<WorkerPoolSpec> = {}): Promise<string> {
    const manifest = {
      apiVersion: API_VERSION,
      kind: WORKER_POOL_KIND,
      metadata: this.ref(name),
      spec: { image: 'registry.example/worker:1', types: [{ name: 'echo' }], ...spec },
    };
    return this.kubectl(['apply', '-f', '-'], JSON.stringify(manifest));
  }

  async read<T extends KubeObject = Seen>(type: ResourceType, name: string): Promise<T | null> {
    try {
      return await this.client.get<T>(type, this.ref(name));
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  /** Waits for an object; with `isDone` for one that is as told. */
  async seen<T extends KubeObject = Seen>(
    type: ResourceType,
    name: string,
    isDone: (object: T) => boolean = () => true,
  ): Promise<T> {
    const found = await waitFor(
      () => this.read<T>(type, name),
      (object) => object !== null && isDone(object),
      { timeoutMs: 20_000, describe: `${type.kind} ${name}` },
    );
    return found as T;
  }

  gone(type: ResourceType, name: string): Promise<unknown> {
    return waitFor(
      () => this.read(type, name),
      (object) => object === null,
      { timeoutMs: 20_000, describe: `${type.kind} ${name} to be gone` },
    );
  }

  /** Waits until a condition of a pool has a reason. */
  async condition(name: string, type: string, reason: string) {
    const of = (pool: WorkerPool) => pool.status?.conditions?.find((condition) => condition.type === type);
    const pool = await this.seen<WorkerPool>(WORKER_POOL, name, (object) => of(object)?.reason === reason);
    return { pool, status: of(pool)?.status, message: of(pool)?.message ?? '' };
  }

  /** What the Deployment's controller would write. */
  async setDeploymentStatus(name: string, status: object): Promise<void> {
    await this.#patchStatus(DEPLOYMENT, name, status);
  }

  /** What KEDA would do. */
  async setScaledObjectReady(name: string): Promise<void> {
    await this.#patchStatus(SCALED_OBJECT, name, { conditions: [{ type: 'Ready', status: 'True' }] });
  }

  /** Scales by the subresource, as KEDA does. */
  async scale(name: string, replicas: number): Promise<void> {
    await this.client.request({
      method: 'PATCH',
      path: objectPath(DEPLOYMENT, this.ref(name), 'scale'),
      query: { fieldManager: 'keda' },
      contentType: 'application/merge-patch+json',
      body: { spec: { replicas } },
    });
  }

  /** A pod as the ReplicaSet would make it from the pool's Deployment. */
  async addPod(deployment: string, name: string, status: object): Promise<void> {
    const { spec } = await this.seen(DEPLOYMENT, deployment);
    const template = spec.template as { metadata: { labels: Record<string, string> }; spec: object };
    const pod = { metadata: { ...this.ref(name), ...template.metadata }, spec: template.spec };
    await this.client.create(POD, pod);
    await this.#patchStatus(POD, name, status);
  }

  async deletePod(name: string): Promise<void> {
    await this.client.request({
      method: 'DELETE',
      path: objectPath(POD, this.ref(name)),
      query: { gracePeriodSeconds: 0 },
    });
  }

  async #patchStatus(type: ResourceType, name: string, status: object): Promise<void> {
    await this.client.request({
      method: 'PATCH',
      path: objectPath(type, this.ref(name), 'status'),
      contentType: 'application/merge-patch+json',
      body: { status },
    });
  }

  /** Stops, and leaves nothing that would wait for a controller. */
  async stop(): Promise<void> {
    await this.controller.stop();
    const pools = (await this.kubectl(['-n', this.namespace, 'get', 'wp', '-o', 'name'])).split('\n');
    for (const pool of pools.filter((name) => name !== '')) {
      const patch = ['--type=merge', '-p', '{"metadata":{"finalizers":null}}'];
      await this.kubectl(['-n', this.namespace, 'patch', pool, ...patch]).catch(() => '');
    }
    await this.kubectl(['delete', 'namespace', this.namespace, '--wait=false']);
    await this.ledger.close();
  }
}
