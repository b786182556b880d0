import type { Condition } from '../conditions.ts';

/** The API group of all of Longshore's kinds. */
export const GROUP = 'longshore.dev';
export const VERSION = 'v1alpha1';
export const API_VERSION = 'longshore.dev/v1alpha1';

/** A kind as the paths of the API server know it. */
export interface ResourceType {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

/** The part of `metav1.ObjectMeta` that Longshore reads and writes. */
export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  /** Grows with each change of the spec. */
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
}

/** Annotations that Longshore writes or reads. */
export const ANNOTATIONS = {
  /** The ledger's id of the job. Shown, never trusted: the ledger finds an applied job by its uid. */
  jobId: 'longshore.dev/job-id',
  /** W3C trace context, so that one trace spans whoever applied the object and the worker. */
  traceparent: 'longshore.dev/traceparent',
} as const;

/** Labels of objects that Longshore makes: for people and selectors. They decide nothing. */
export const LABELS = {
  managedBy: 'app.kubernetes.io/managed-by',
  type: 'longshore.dev/type',
  pool: 'longshore.dev/pool',
  schedule: 'longshore.dev/schedule',
} as const;

/** The value of {@link LABELS.managedBy} on objects that Longshore made. */
export const MANAGED_BY = 'longshore';

/** Held by an applied QueueJob until the ledger says that its job has ended. Ours have none. */
export const CANCEL_JOB_FINALIZER = 'longshore.dev/cancel-job';
/** Held by a WorkerPool until its pods have drained. */
export const DRAIN_POOL_FINALIZER = 'longshore.dev/drain-pool';

/** What the statuses of all kinds have. */
export interface StatusBase {
  /** The generation of the spec that this status speaks of. */
  observedGeneration?: number;
  /** One of each type. */
  conditions?: Condition[];
}
