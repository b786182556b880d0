import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeClient, PatchBody } from './client.ts';
import type { KubeObject, ResourceType } from './resource-type.ts';

const CRD: ResourceType = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};

interface Crd extends KubeObject {
  status?: { conditions?: { type: string; status: string }[] };
}

const POLL_MS = 250;

/**
 * Applies CustomResourceDefinitions from the server's side, taking over what other managers (Helm, kubectl) own, and
 * waits until each is served. May be repeated. Rejects with the signal's reason when that comes first.
 */
export async function applyCrds(
  client: KubeClient,
  crds: readonly KubeObject[],
  signal: AbortSignal,
): Promise<void> {
  for (const crd of crds) {
    await client.applySsa(CRD, { ...crd } as KubeObject & PatchBody, { signal, force: true });
  }
  for (const { metadata } of crds) {
    while (!isEstablished(await client.get<Crd>(CRD, metadata, { signal }))) {
      await sleep(POLL_MS, undefined, { signal });
    }
  }
}

function isEstablished({ status }: Crd): boolean {
  return (
    status?.conditions?.some(
      (condition) => condition.type === 'Established' && condition.status === 'True',
    ) ?? false
  );
}
