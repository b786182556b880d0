import { setTimeout as sleep } from 'node:timers/promises';
import { forEachLimited } from '../core/for-each-limited.ts';
import { DEPLOYMENT, POD } from '../core/pool-manifests/resources.ts';
import { isLivingPod } from '../core/pool-pods.ts';
import type { KubeClient } from './client.ts';
import { isConflict, isNotFound } from './kube-api-error.ts';
import type { KubeObject, ObjectRef, ResourceType } from './resource-type.ts';

interface Deployment extends KubeObject {
  spec: { selector: { matchLabels?: Record<string, string> } };
}

interface Pod extends KubeObject {
  status?: { phase?: string };
}

const POLL_MS = 500;
const CONCURRENCY = 8;

/**
 * Takes a Deployment to no replicas and waits until its pods have ended. One that is not there has stopped.
 * Rejects with the signal's reason when that comes first.
 */
export async function stopDeployment(client: KubeClient, ref: ObjectRef, signal: AbortSignal): Promise<void> {
  try {
    const { spec } = await client.get<Deployment>(DEPLOYMENT, ref, { signal });
    await client.patchMerge(DEPLOYMENT, ref, { spec: { replicas: 0 } }, { signal });
    const labelSelector = Object.entries(spec.selector.matchLabels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(',');
    for (;;) {
      const pods = await client.list<Pod>(POD, { namespace: ref.namespace, labelSelector, signal });
      if (!pods.items.some(isLivingPod)) return;
      await sleep(POLL_MS, undefined, { signal });
    }
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/**
 * Takes one finalizer away from all objects of a type. Answers how many had it. A type that the API server does not
 * know has none.
 *
 * @param namespace - All namespaces when absent.
 */
export async function removeFinalizers(
  client: KubeClient,
  type: ResourceType,
  options: { finalizer: string; namespace?: string | undefined; signal: AbortSignal },
): Promise<number> {
  const { finalizer, namespace, signal } = options;
  const held: KubeObject[] = [];
  try {
    for await (const page of client.listPages<KubeObject>(type, { namespace, signal })) {
      held.push(...page.items.filter((object) => object.metadata.finalizers?.includes(finalizer)));
    }
  } catch (error) {
    if (isNotFound(error)) return 0;
    throw error;
  }
  await forEachLimited(held, CONCURRENCY, (object) =>
    removeFrom(client, type, object, { finalizer, signal }),
  );
  return held.length;
}

async function removeFrom(
  client: KubeClient,
  type: ResourceType,
  object: KubeObject,
  { finalizer, signal }: { finalizer: string; signal: AbortSignal },
): Promise<void> {
  const { name, namespace, resourceVersion, finalizers = [] } = object.metadata;
  const metadata = { resourceVersion, finalizers: finalizers.filter((other) => other !== finalizer) };
  try {
    await client.patchMerge(type, { namespace, name }, { metadata }, { signal });
  } catch (error) {
    if (isNotFound(error)) return;
    if (!isConflict(error)) throw error;
    const namesOne = { fieldSelector: `metadata.name=${name}`, namespace, signal };
    const [current] = (await client.list<KubeObject>(type, namesOne)).items;
    if (current?.metadata.finalizers?.includes(finalizer))
      await removeFrom(client, type, current, { finalizer, signal });
  }
}
