import { setTimeout as sleep } from 'node:timers/promises';
import { POD } from '../../../src/core/pool-manifests/resources.ts';
import { type Bench, fixed, type Measurement, type Row } from '../bench.ts';
import type { PodObject } from '../objects.ts';
import { measureThroughput } from './throughput.ts';

const TARGET_BYTES = 250e6;
const INTERVAL_MS = 2_000;

interface NodeStats {
  pods: {
    podRef: { name: string; namespace: string };
    containers?: { name: string; memory?: { workingSetBytes?: number } }[];
  }[];
}

/** The most memory of each pod during the whole run, as the kubelet counts it (the working set, what limits go by). */
export class MemoryWatch {
  readonly #bench: Bench;
  readonly #peaks = new Map<string, number>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #samples = 0;

  constructor(bench: Bench) {
    this.#bench = bench;
    this.#running = this.#run();
  }

  /** Bytes by `api`, `controller` and `worker`, the greatest of their pods; postgresql and redis for comparison. */
  get peaks(): Record<string, number> {
    return Object.fromEntries([...this.#peaks].toSorted());
  }

  get samples(): number {
    return this.#samples;
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#sample().catch(() => {});
      await sleep(INTERVAL_MS, undefined, { signal }).catch(() => {});
    }
  }

  async #sample(): Promise<void> {
    const { installed, kube } = this.#bench;
    const pods = await Promise.all(
      [installed.systemNamespace, installed.namespace].map((namespace) =>
        kube.list<PodObject>(POD, { namespace }),
      ),
    );
    const roles = new Map(
      pods.flatMap(({ items }) => items).map((pod) => [pod.metadata.name, roleOf(pod)] as const),
    );
    const nodes = new Set(pods.flatMap(({ items }) => items).flatMap(({ spec }) => spec.nodeName ?? []));
    for (const node of nodes) {
      const path = `/api/v1/nodes/${node}/proxy/stats/summary`;
      const stats = await kube.request<NodeStats>({ method: 'GET', path, timeoutMs: 5_000 });
      for (const { podRef, containers = [] } of stats.pods) {
        const role = roles.get(podRef.name);
        if (role === undefined) continue;
        const bytes = containers.reduce((sum, { memory }) => sum + (memory?.workingSetBytes ?? 0), 0);
        this.#peaks.set(role, Math.max(bytes, this.#peaks.get(role) ?? 0));
      }
    }
    this.#samples += 1;
  }
}

function roleOf({ metadata: { labels = {} } }: PodObject): string | undefined {
  return labels['longshore.dev/pool'] === undefined ? labels['app.kubernetes.io/component'] : 'worker';
}

/** @param watch - Runs from the start of the run to its end. */
export function memoryMeasurement(watch: () => MemoryWatch): Measurement {
  return {
    name: 'memory',
    about: 'the most memory of each pod during all measurements of the run',
    async run(bench): Promise<Row[]> {
      // Of pods at rest it would say nothing.
      await measureThroughput(bench);
      const { peaks, samples } = watch();
      if (samples === 0) throw new Error('The kubelet told nothing');
      const ours = ['api', 'controller', 'worker'].map((role) => [role, peaks[role] ?? Number.NaN] as const);
      return [
        {
          what: `memory of each Longshore pod, at most (working set, ${samples} samples)`,
          target: '≤ 250 MB',
          measured: ours.map(([role, bytes]) => `${role} ${fixed(bytes / 1e6)} MB`).join(', '),
          met: ours.every(([, bytes]) => bytes <= TARGET_BYTES),
          values: peaks,
        },
      ];
    },
  };
}
