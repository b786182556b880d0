import { LABELS } from '../../core/kinds/meta.ts';
import { WORKER_POOL, type WorkerPool } from '../../core/kinds/worker-pool.ts';
import type { Logger } from '../../core/logger.ts';
import { CHILDREN_SELECTOR, childName, poolLabel } from '../../core/pool-manifests/names.ts';
import { DEPLOYMENT, POD } from '../../core/pool-manifests/resources.ts';
import type { DeploymentView, PodView } from '../../core/pool-pods.ts';
import type { ScaledObjectView } from '../../core/worker-pool-status.ts';
import type { KubeClient } from '../../kube/client.ts';
import { Reflector, type ReflectorEvent } from '../../kube/reflector.ts';
import { type KubeObject, objectKey, type ResourceType, refKey } from '../../kube/resource-type.ts';
import { byOwnerUid, ObjectStore } from '../../kube/store.ts';
import { ClusterKinds } from './cluster-kinds.ts';

export interface PoolWatchOptions {
  client: KubeClient;
  logger: Logger;
  /** All namespaces when absent. */
  namespace?: string;
  /** A watch on which nothing arrives for this long is opened again. Defaults to 90 s. */
  watchIdleMs?: number;
  /** How often the cluster is asked whether it has KEDA. Defaults to 30 s. */
  kindsMs?: number;
  onReflectorEvent?(kind: string, event: ReflectorEvent): void;
}

/** What is there of pools: the pools themselves, their Deployments, pods and ScaledObjects. */
export class PoolWatch {
  readonly pools: ObjectStore<WorkerPool>;
  readonly kinds: ClusterKinds;
  readonly #options: PoolWatchOptions;
  readonly #deployments: ObjectStore<DeploymentView>;
  readonly #pods: ObjectStore<PodView>;
  readonly #reflectors: Reflector<KubeObject>[];
  /** Told of pools that something happened to; null is all of them. */
  readonly #listeners = new Set<(key: string | null) => void>();

  constructor(options: PoolWatchOptions) {
    this.#options = options;
    const { logger } = options;
    const indexes = {
      label: (pool: KubeObject) => [labelKey(pool.metadata.namespace, poolLabel(pool.metadata.name))],
    };
    this.pools = new ObjectStore<WorkerPool>({ logger, indexes });
    this.#deployments = new ObjectStore<DeploymentView>({ logger, indexes: { owner: byOwnerUid } });
    this.#pods = new ObjectStore<PodView>({ logger, indexes: { label: byPoolLabel } });
    this.kinds = new ClusterKinds({
      client: options.client,
      logger,
      ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
      ...(options.kindsMs === undefined ? {} : { intervalMs: options.kindsMs }),
      onChange: () => this.#tell(null),
    });
    this.#reflectors = [
      this.#reflect(WORKER_POOL, this.pools),
      this.#reflect(DEPLOYMENT, this.#deployments, CHILDREN_SELECTOR),
      this.#reflect(POD, this.#pods, CHILDREN_SELECTOR),
    ];
    this.#listen();
  }

  get hasSynced(): boolean {
    return this.#reflectors.every((reflector) => reflector.hasSynced);
  }

  start(): void {
    for (const reflector of this.#reflectors) reflector.start();
    this.kinds.start();
  }

  async waitForSync(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.waitForSync(signal)));
    await this.kinds.waitUntilKnown(signal);
  }

  async stop(): Promise<void> {
    await Promise.all([this.kinds.stop(), ...this.#reflectors.map((reflector) => reflector.stop())]);
  }

  /** Calls `listener` with the key of each pool to which something happened, null for all; answers a function that ends it. */
  onChange(listener: (key: string | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  deploymentOf({ metadata }: WorkerPool): DeploymentView | null {
    return this.#deployments.byIndex('owner', metadata.uid ?? '')[0] ?? null;
  }

  podsOf({ metadata }: WorkerPool): PodView[] {
    return this.#pods.byIndex('label', labelKey(metadata.namespace, poolLabel(metadata.name)));
  }

  /** Whether something that scales the pool, or is scaled, is not there, as far as can be seen. */
  isMissingParts(pool: WorkerPool): boolean {
    if (this.deploymentOf(pool) === null) return true;
    return this.kinds.seesScaledObjects && this.scaledObjectOf(pool) === null;
  }

  scaledObjectOf({ metadata }: WorkerPool): ScaledObjectView | null {
    const key = refKey({ namespace: metadata.namespace, name: childName(metadata.name) });
    return this.kinds.scaledObjects.get(key) ?? null;
  }

  #reflect<T extends KubeObject>(
    type: ResourceType,
    store: ObjectStore<T>,
    labelSelector?: string,
  ): Reflector<KubeObject> {
    const { client, logger, namespace, watchIdleMs, onReflectorEvent } = this.#options;
    const reflector = new Reflector<T>({
      client,
      type,
      store,
      logger,
      namespace,
      labelSelector,
      ...(watchIdleMs === undefined ? {} : { idleTimeoutMs: watchIdleMs }),
      onEvent: (event) => onReflectorEvent?.(type.kind, event),
    });
    return reflector as unknown as Reflector<KubeObject>;
  }

  #listen(): void {
    this.pools.onChange(({ key, before, after }) => {
      const isSame =
        before?.metadata.uid === after?.metadata.uid &&
        before?.metadata.generation === after?.metadata.generation;
      const isGoing = before?.metadata.deletionTimestamp !== after?.metadata.deletionTimestamp;
      // A pool that comes, changes or goes may make room for others, or take it.
      if (!isSame || isGoing) this.#tell(null);
      this.#tell(key);
    });
    this.#deployments.onChange(({ before, after }) => this.#tellOwner(after ?? before));
    this.kinds.scaledObjects.onChange(({ before, after }) => this.#tellOwner(after ?? before));
    this.#pods.onChange(({ before, after }) => {
      const [label = ''] = byPoolLabel((after ?? before) as PodView);
      for (const pool of this.pools.byIndex('label', label)) this.#tell(objectKey(pool));
    });
  }

  #tellOwner(child: KubeObject | undefined): void {
    const owner = child?.metadata.ownerReferences?.find(({ kind }) => kind === WORKER_POOL.kind);
    if (owner !== undefined) this.#tell(refKey({ namespace: child?.metadata.namespace, name: owner.name }));
  }

  #tell(key: string | null): void {
    for (const listener of this.#listeners) listener(key);
  }
}

function labelKey(namespace: string | undefined, label: string): string {
  return `${namespace ?? ''}/${label}`;
}

function byPoolLabel({ metadata }: KubeObject): string[] {
  const label = metadata.labels?.[LABELS.pool];
  return label === undefined ? [] : [labelKey(metadata.namespace, label)];
}
