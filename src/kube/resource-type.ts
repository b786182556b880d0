import type { ObjectMeta, ResourceType } from '../core/kinds/meta.ts';

export type { ObjectMeta, OwnerReference, ResourceType } from '../core/kinds/meta.ts';

/** What every object has; `apiVersion` and `kind` are absent from the items of a list of built-in kinds. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
}

export interface ObjectRef {
  /** Absent for kinds without namespaces. */
  namespace?: string | undefined;
  name: string;
}

export const LEASE: ResourceType = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
};

export function apiVersionOf(type: ResourceType): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

/** `namespace/name`, or `name` alone for a kind without namespaces: the key of stores and queues. */
export function objectKey(object: KubeObject): string {
  return refKey(object.metadata);
}

export function refKey(ref: ObjectRef): string {
  return ref.namespace === undefined || ref.namespace === '' ? ref.name : `${ref.namespace}/${ref.name}`;
}

export function parseKey(key: string): ObjectRef {
  const slash = key.indexOf('/');
  return slash === -1 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The path of a collection, over all namespaces when none is given. */
export function collectionPath(type: ResourceType, namespace?: string): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const scope =
    type.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${scope}/${type.plural}`;
}

export function objectPath(type: ResourceType, ref: ObjectRef, subresource?: string): string {
  if (type.namespaced && (ref.namespace === undefined || ref.namespace === '')) {
    throw new TypeError(`A ${type.kind} has a namespace; none was given for "${ref.name}"`);
  }
  // An empty name would turn the path into that of the collection, and a delete into a delete of everything.
  if (ref.name === '') throw new TypeError(`A ${type.kind} without a name`);
  const path = `${collectionPath(type, ref.namespace)}/${encodeURIComponent(ref.name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}
