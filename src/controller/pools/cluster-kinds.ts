import { unlessAborted } from '../../core/abort.ts';
import type { ResourceType } from '../../core/kinds/meta.ts';
import type { Logger } from '../../core/logger.ts';
import { CHILDREN_SELECTOR } from '../../core/pool-manifests/names.ts';
import type { Extras } from '../../core/pool-manifests/render.ts';
import { POD_MONITOR, SCALED_OBJECT } from '../../core/pool-manifests/resources.ts';
import type { ScaledObjectView } from '../../core/worker-pool-status.ts';
import type { KubeClient } from '../../kube/client.ts';
import { isNotFound } from '../../kube/kube-api-error.ts';
import { Reflector } from '../../kube/reflector.ts';
import { ObjectStore } from '../../kube/store.ts';
import { PeriodicService } from '../../lifecycle/service.ts';

export interface ClusterKindsOptions {
  client: KubeClient;
  logger: Logger;
  namespace?: string;
  /** How often the cluster is asked what it has. Defaults to 30 s. */
  intervalMs?: number;
  /** KEDA or the Prometheus operator came or went. */
  onChange(): void;
}

/** Which kinds of neighbours the cluster has, now: KEDA may come, and go, after Longshore. ScaledObjects are watched while there are any. */
export class ClusterKinds {
  readonly scaledObjects: ObjectStore<ScaledObjectView>;
  readonly #options: ClusterKindsOptions;
  readonly #service: PeriodicService;
  readonly #known = Promise.withResolvers<void>();
  #extras: Extras = { keda: false, podMonitor: false };
  #reflector: Reflector<ScaledObjectView> | undefined;

  constructor(options: ClusterKindsOptions) {
    this.#options = options;
    this.scaledObjects = new ObjectStore<ScaledObjectView>({ logger: options.logger });
    this.#service = new PeriodicService({
      name: 'cluster-kinds',
      intervalMs: options.intervalMs ?? 30_000,
      logger: options.logger,
      runOnce: (signal) => this.#discover(signal),
    });
  }

  get extras(): Extras {
    return this.#extras;
  }

  /** Whether there is KEDA and all ScaledObjects have been read, so that one which is not seen is not there. */
  get seesScaledObjects(): boolean {
    return this.#reflector?.hasSynced ?? false;
  }

  start(): void {
    this.#service.start();
  }

  /** Resolves when the cluster has been asked once; rejects with the signal's reason when that comes first. */
  async waitUntilKnown(signal: AbortSignal): Promise<void> {
    await unlessAborted(this.#known.promise, signal);
  }

  async stop(): Promise<void> {
    await this.#service.stop();
    await this.#reflector?.stop();
  }

  async #discover(signal: AbortSignal): Promise<Extras> {
    const [keda, podMonitor] = await Promise.all([
      this.#has(SCALED_OBJECT, signal),
      this.#has(POD_MONITOR, signal),
    ]);
    const before = this.#extras;
    this.#extras = { keda, podMonitor };
    if (keda !== before.keda) await this.#watch(keda);
    this.#known.resolve();
    if (keda !== before.keda || podMonitor !== before.podMonitor) this.#options.onChange();
    return this.#extras;
  }

  async #has({ group, version, plural }: ResourceType, signal: AbortSignal): Promise<boolean> {
    try {
      const path = `/apis/${group}/${version}`;
      const found = await this.#options.client.request<{ resources?: { name: string }[] }>({
        method: 'GET',
        path,
        signal,
      });
      return found.resources?.some(({ name }) => name === plural) ?? false;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async #watch(isThere: boolean): Promise<void> {
    const { client, logger, namespace } = this.#options;
    logger.info({ keda: isThere }, isThere ? 'Found KEDA' : 'Lost KEDA');
    await this.#reflector?.stop();
    this.#reflector = undefined;
    if (!isThere) {
      this.scaledObjects.replaceAll([]);
      return;
    }
    this.#reflector = new Reflector<ScaledObjectView>({
      client,
      type: SCALED_OBJECT,
      store: this.scaledObjects,
      logger,
      namespace,
      labelSelector: CHILDREN_SELECTOR,
    });
    this.#reflector.start();
  }
}
