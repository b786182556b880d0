import { setTimeout as sleep } from 'node:timers/promises';
import { WORKER_POOL } from '../../src/core/kinds/worker-pool.ts';
import { DEPLOYMENT, POD } from '../../src/core/pool-manifests/resources.ts';
import { createKubeClient, type KubeClient } from '../../src/kube/client.ts';
import type { KubeObject } from '../../src/kube/resource-type.ts';
import { ClusterReader, type MetricSample, sumOf } from '../cluster/cluster-reader.ts';
import type { Installation } from '../cluster/installation.ts';

interface Workload extends KubeObject {
  spec: { replicas?: number };
  status?: { readyReplicas?: number };
}
interface Pod extends KubeObject {
  status: { phase: string };
}
interface Pool extends KubeObject {
  status?: { queued?: number; active?: number };
}

/** How a pool stood at a moment. */
export interface Sample {
  atMs: number;
  /** Jobs that wait, by the controller's metric; it is counted every 5 s. */
  waiting: number;
  /** Jobs that run, by the status of the WorkerPool; it is written every 10 s at most. */
  active: number;
  /** What KEDA asks the Deployment for. */
  wanted: number;
  ready: number;
  /** Since the sample before, by the counters of the pods. A pod that went in between takes its last ones with it. */
  finishedPerSecond: number;
}

/** Looks at pools once a second: at their Deployments, at their statuses, and at the metrics of controllers and workers. */
export class PoolWatcher {
  readonly #installed: Installation;
  readonly #types: ReadonlyMap<string, string>;
  readonly #kube: KubeClient;
  readonly #reader: ClusterReader;
  readonly #samples: Map<string, Sample[]>;
  /** Finished jobs by pod, when last seen. */
  readonly #counters = new Map<string, number>();

  /** @param types - The type of each pool by the pool's name. */
  constructor(installed: Installation, types: ReadonlyMap<string, string>) {
    this.#installed = installed;
    this.#types = types;
    this.#kube = createKubeClient({
      kubeconfigPath: installed.target.kubeconfig,
      fieldManager: 'longshore-demo',
    });
    this.#reader = new ClusterReader(installed.target.kubeconfig);
    this.#samples = new Map([...types.keys()].map((pool) => [pool, []]));
  }

  /** In the order of time. */
  samplesOf(pool: string): readonly Sample[] {
    return this.#samples.get(pool) ?? [];
  }

  /** Samples until `signal` aborts. A look that fails is left out: the next one comes in a second. */
  async watch(signal: AbortSignal, onSample: () => void): Promise<void> {
    while (!signal.aborted) {
      const startedAt = performance.now();
      await this.sample()
        .then(onSample)
        .catch(() => {});
      const restMs = Math.max(0, 1_000 - (performance.now() - startedAt));
      await sleep(restMs, undefined, { signal }).catch(() => {});
    }
  }

  async sample(): Promise<void> {
    const { namespace, systemNamespace } = this.#installed;
    const [deployments, pools, pods, depths] = await Promise.all([
      this.#kube.list<Workload>(DEPLOYMENT, { namespace }),
      this.#kube.list<Pool>(WORKER_POOL, { namespace }),
      this.#kube.list<Pod>(POD, { namespace, labelSelector: 'longshore.dev/pool' }),
      this.#depths(systemNamespace),
    ]);
    const atMs = Date.now();
    const finished = await this.#finishedByPool(pods.items);
    for (const [pool, type] of this.#types) {
      const deployment = deployments.items.find(({ metadata }) => metadata.name === `${pool}-worker`);
      const samples = this.#samples.get(pool) ?? [];
      const elapsed = (atMs - (samples.at(-1)?.atMs ?? atMs - 1_000)) / 1_000;
      samples.push({
        atMs,
        waiting: waitingOf(depths, namespace, type),
        active: pools.items.find(({ metadata }) => metadata.name === pool)?.status?.active ?? 0,
        wanted: deployment?.spec.replicas ?? 0,
        ready: deployment?.status?.readyReplicas ?? 0,
        finishedPerSecond: (finished.get(pool) ?? 0) / elapsed,
      });
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#kube.close(), this.#reader.close()]);
  }

  /** Of the controller that leads: the other knows none. */
  async #depths(namespace: string): Promise<MetricSample[]> {
    const { items } = await this.#kube.list<Pod>(POD, {
      namespace,
      labelSelector: 'app.kubernetes.io/component=controller',
    });
    const all = await Promise.all(
      items.map(({ metadata }) => this.#reader.podMetrics(namespace, metadata.name, 'longshore_queue_depth')),
    );
    return all.find((samples) => samples.length > 0) ?? [];
  }

  async #finishedByPool(pods: readonly Pod[]): Promise<Map<string, number>> {
    const byPool = new Map<string, number>();
    const running = pods.filter(({ status }) => status.phase === 'Running');
    await Promise.all(
      running.map(async ({ metadata: { name, labels } }) => {
        const samples = await this.#reader.podMetrics(
          this.#installed.namespace,
          name,
          'longshore_jobs_finished_total',
        );
        if (samples.length === 0) return;
        const total = sumOf(samples, 'longshore_jobs_finished_total');
        const pool = labels?.['longshore.dev/pool'] ?? '';
        byPool.set(pool, (byPool.get(pool) ?? 0) + total - (this.#counters.get(name) ?? 0));
        this.#counters.set(name, total);
      }),
    );
    return byPool;
  }
}

function waitingOf(depths: readonly MetricSample[], namespace: string, type: string): number {
  return ['waiting', 'admitted'].reduce(
    (sum, state) => sum + sumOf(depths, 'longshore_queue_depth', { namespace, type, state }),
    0,
  );
}
