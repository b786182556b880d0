import { createHash } from 'node:crypto';
import { LABELS, MANAGED_BY, type OwnerReference } from '../kinds/meta.ts';
import { WORKER_POOL_KIND, type WorkerPool } from '../kinds/worker-pool.ts';

/** Leaves room for the suffix and for what a ReplicaSet and its pods append, within the 63 characters of a host name. */
const MAX_BASE = 40;
const MAX_LABEL = 63;

/** Value of `app.kubernetes.io/name` on everything that belongs to workers. */
const APP = 'longshore-worker';

/** The name of everything that a pool is rendered into. Deterministic: a stale look makes no second object. */
export function childName(pool: string): string {
  return `${shortened(pool, MAX_BASE)}-worker`;
}

/** The pool's name as a label's value, which has 63 characters where a name has 253. */
export function poolLabel(pool: string): string {
  return shortened(pool, MAX_LABEL);
}

/** Selects the pods of a pool. A Deployment's selector never changes, so neither must this. */
export function selectorLabels(pool: string): Record<string, string> {
  return { 'app.kubernetes.io/name': APP, [LABELS.pool]: poolLabel(pool) };
}

/** Labels of everything that is rendered from a pool. */
export function childLabels(pool: string): Record<string, string> {
  return {
    ...selectorLabels(pool),
    'app.kubernetes.io/instance': poolLabel(pool),
    'app.kubernetes.io/component': 'worker',
    'app.kubernetes.io/part-of': 'longshore',
    [LABELS.managedBy]: MANAGED_BY,
  };
}

/** Finds the objects of all pools. */
export const CHILDREN_SELECTOR = `app.kubernetes.io/name=${APP},${LABELS.managedBy}=${MANAGED_BY}`;

export function ownerReference(pool: WorkerPool): OwnerReference {
  return {
    apiVersion: pool.apiVersion,
    kind: WORKER_POOL_KIND,
    name: pool.metadata.name,
    uid: pool.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

function shortened(name: string, max: number): string {
  if (name.length <= max && !name.includes('.')) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8);
  return `${name
    .slice(0, max - 9)
    .replaceAll('.', '-')
    .replace(/-+$/, '')}-${hash}`;
}
