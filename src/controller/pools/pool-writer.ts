import { randomBytes } from 'node:crypto';
import { DELETION_COST_ANNOTATION } from '../../core/deletion-cost.ts';
import { DRAIN_POOL_FINALIZER, type ResourceType } from '../../core/kinds/meta.ts';
import { WORKER_POOL, type WorkerPool, type WorkerPoolStatus } from '../../core/kinds/worker-pool.ts';
import { childName } from '../../core/pool-manifests/names.ts';
import type { Rendered } from '../../core/pool-manifests/render.ts';
import {
  DEPLOYMENT,
  type Manifest,
  NETWORK_POLICY,
  POD,
  POD_MONITOR,
  SCALED_OBJECT,
  SECRET,
  SERVICE_ACCOUNT,
  TRIGGER_AUTHENTICATION,
} from '../../core/pool-manifests/resources.ts';
import { SECRET_KEYS } from '../../core/pool-manifests/secret.ts';
import type { DeploymentView } from '../../core/pool-pods.ts';
import type { KubeClient } from '../../kube/client.ts';
import { isConflict, isNotFound } from '../../kube/kube-api-error.ts';
import type { KubeObject } from '../../kube/resource-type.ts';

/**
 * Owns `replicas` of a Deployment until somebody else sets them. The controller's own manager applies the Deployment without
 * that field: would it give up one that it owned, the API server would reset it.
 */
const REPLICAS_MANAGER = 'longshore-replicas';

interface AppliedDeployment extends DeploymentView {
  metadata: DeploymentView['metadata'] & { managedFields?: { manager?: string; fieldsV1?: object }[] };
}

interface SecretObject extends KubeObject {
  data?: Record<string, string>;
}

/** What the controller writes for pools. Everything may be done twice. */
export class PoolWriter {
  readonly #client: KubeClient;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  /** Puts the finalizer on, before the first thing that has to be undone. */
  async addFinalizer({ metadata }: WorkerPool, signal: AbortSignal): Promise<WorkerPool | null> {
    if (metadata.finalizers?.includes(DRAIN_POOL_FINALIZER)) return null;
    return this.#putFinalizers(metadata, [...(metadata.finalizers ?? []), DRAIN_POOL_FINALIZER], signal);
  }

  async removeFinalizer({ metadata }: WorkerPool, signal: AbortSignal): Promise<void> {
    const others = (metadata.finalizers ?? []).filter((name) => name !== DRAIN_POOL_FINALIZER);
    await ignoringNotFound(this.#putFinalizers(metadata, others, signal));
  }

  #putFinalizers(
    metadata: WorkerPool['metadata'],
    finalizers: string[],
    signal: AbortSignal,
  ): Promise<WorkerPool> {
    const { uid, resourceVersion } = metadata;
    const patch = { metadata: { uid, resourceVersion, finalizers } };
    return this.#client.patchMerge<WorkerPool>(WORKER_POOL, metadata, patch, { signal });
  }

  /** The secret of the pool as its Secret has it; a new one when it has none. */
  async poolSecret({ metadata }: WorkerPool, signal: AbortSignal): Promise<string> {
    const ref = { namespace: metadata.namespace, name: childName(metadata.name) };
    const found = await ignoringNotFound(this.#client.get<SecretObject>(SECRET, ref, { signal }));
    const kept = found?.data?.[SECRET_KEYS.poolSecret];
    const secret = kept === undefined ? '' : Buffer.from(kept, 'base64').toString();
    return secret === '' ? randomBytes(32).toString('base64url') : secret;
  }

  /** Applies what was rendered, in its order. A Deployment that is not there yet is made with `replicas`. */
  async apply(rendered: readonly Rendered[], replicas: number, signal: AbortSignal): Promise<void> {
    for (const { type, manifest } of rendered) {
      if (type.kind === DEPLOYMENT.kind) await this.#applyDeployment(manifest, replicas, signal);
      else await this.#client.applySsa(type, manifest, { signal });
    }
  }

  async #applyDeployment(manifest: Manifest, replicas: number, signal: AbortSignal): Promise<void> {
    const { metadata } = manifest;
    const spec = manifest.spec as object;
    if ((await ignoringNotFound(this.#client.get(DEPLOYMENT, metadata, { signal }))) === undefined) {
      // One that came into being meanwhile has replicas already: the conflict says so.
      const first = { ...manifest, spec: { ...spec, replicas } };
      await ignoringConflict(
        this.#client.applySsa(DEPLOYMENT, first, { fieldManager: REPLICAS_MANAGER, force: false, signal }),
      );
    }
    const applied = await this.#client.applySsa<AppliedDeployment>(DEPLOYMENT, manifest, { signal });
    const ofOther = applied.metadata.managedFields?.find(({ manager }) => manager === REPLICAS_MANAGER);
    // Whatever both own would stay when the pool does not want it any more.
    if (ofOther !== undefined && 'f:template' in specFields(ofOther.fieldsV1))
      await this.setReplicas(metadata, applied.spec?.replicas ?? replicas, signal);
  }

  /** Sets the number of pods, whoever set it last. */
  async setReplicas(
    ref: { namespace?: string | undefined; name: string },
    replicas: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { namespace = '', name } = ref;
    const manifest = {
      apiVersion: 'apps/v1',
      kind: DEPLOYMENT.kind,
      metadata: { namespace, name },
      spec: { replicas },
    };
    await this.#client.applySsa(DEPLOYMENT, manifest, { fieldManager: REPLICAS_MANAGER, signal });
  }

  async deleteScaledObject({ metadata }: WorkerPool, signal: AbortSignal): Promise<void> {
    await this.#delete(SCALED_OBJECT, metadata, signal);
  }

  /** Deletes what a pool without pods consists of; the garbage collector would, too, but in its own time. */
  async deleteChildren(
    { metadata }: WorkerPool,
    extras: { keda: boolean; podMonitor: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const types = [DEPLOYMENT, NETWORK_POLICY, SERVICE_ACCOUNT, SECRET];
    if (extras.keda) types.unshift(TRIGGER_AUTHENTICATION);
    if (extras.podMonitor) types.unshift(POD_MONITOR);
    for (const type of types) await this.#delete(type, metadata, signal);
  }

  async #delete(type: ResourceType, pool: WorkerPool['metadata'], signal: AbortSignal): Promise<void> {
    const ref = { namespace: pool.namespace, name: childName(pool.name) };
    await ignoringNotFound(this.#client.delete(type, ref, { signal }));
  }

  /** Null when the pool is gone, or another one by now. */
  async writeStatus(
    { metadata, status: before }: WorkerPool,
    status: WorkerPoolStatus,
    signal: AbortSignal,
  ): Promise<WorkerPool | null> {
    const gone = Object.keys(before ?? {}).filter((field) => !(field in status));
    const patch = {
      metadata: { uid: metadata.uid },
      status: { ...Object.fromEntries(gone.map((field) => [field, null])), ...status },
    };
    const call = this.#client.patchStatusMerge<WorkerPool>(WORKER_POOL, metadata, patch, { signal });
    return (await ignoringNotFound(ignoringConflict(call))) ?? null;
  }

  async writeDeletionCost(
    pod: { namespace?: string | undefined; name: string },
    cost: string,
    signal: AbortSignal,
  ): Promise<void> {
    const patch = { metadata: { annotations: { [DELETION_COST_ANNOTATION]: cost } } };
    await ignoringNotFound(this.#client.patchMerge(POD, pod, patch, { signal }));
  }
}

function specFields(fields: object | undefined): object {
  return (fields as { 'f:spec'?: object } | undefined)?.['f:spec'] ?? {};
}

async function ignoringNotFound<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

async function ignoringConflict<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isConflict(error)) return undefined;
    throw error;
  }
}
