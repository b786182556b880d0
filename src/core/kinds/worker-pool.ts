import type { JobTypeDefaults, JobTypeLimits } from '../job-type.ts';
import {
  type API_VERSION,
  GROUP,
  type ObjectMeta,
  type ResourceType,
  type StatusBase,
  VERSION,
} from './meta.ts';

export const WORKER_POOL_KIND = 'WorkerPool';

export const WORKER_POOL: ResourceType = {
  group: GROUP,
  version: VERSION,
  plural: 'workerpools',
  kind: WORKER_POOL_KIND,
  namespaced: true,
};

/** The most that a JSON Schema of a pool's type may take as compact JSON. The API server cannot measure it. */
export const MAX_TYPE_SCHEMA_BYTES = 32_768;

/** What the pods of a pool get when it says nothing. */
export const WORKER_POOL_DEFAULTS = {
  concurrency: 10,
  minReplicas: 0,
  maxReplicas: 10,
  cooldownSeconds: 60,
  terminationGracePeriodSeconds: 60,
} as const;

/** The limits of a type as a pool writes them: what is absent is no limit. */
export interface PoolTypeLimits {
  maxRunning?: number;
  rate?: NonNullable<JobTypeLimits['rate']>;
}

/** A shipped type by its name alone, or a user's own with its schema. */
export interface PoolType {
  name: string;
  description?: string;
  /** JSON Schema of the input; it makes the type the user's own. */
  inputSchema?: Record<string, unknown>;
  resultSchema?: Record<string, unknown>;
  defaults?: Partial<JobTypeDefaults>;
  limits?: PoolTypeLimits;
}

export interface KeyRef {
  name: string;
  key: string;
  optional?: boolean;
}

export interface EnvVar {
  name: string;
  value?: string;
  valueFrom?: { secretKeyRef?: KeyRef; configMapKeyRef?: KeyRef; fieldRef?: { fieldPath: string } };
}

export interface EnvFrom {
  prefix?: string;
  secretRef?: { name: string; optional?: boolean };
  configMapRef?: { name: string; optional?: boolean };
}

/** Quantities of Kubernetes: `500m`, `256Mi`, `1`. */
export interface ResourceRequirements {
  requests?: Record<string, string | number>;
  limits?: Record<string, string | number>;
}

export interface Toleration {
  key?: string;
  operator?: 'Exists' | 'Equal';
  value?: string;
  effect?: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
  tolerationSeconds?: number;
}

/** The volumes that the restricted profile has and a worker may need; no `hostPath`. */
export interface PoolVolume {
  name: string;
  emptyDir?: { medium?: '' | 'Memory'; sizeLimit?: string | number };
  configMap?: { name: string; optional?: boolean };
  secret?: { secretName: string; optional?: boolean };
  persistentVolumeClaim?: { claimName: string; readOnly?: boolean };
}

export interface VolumeMount {
  name: string;
  mountPath: string;
  subPath?: string;
  readOnly?: boolean;
}

/** What may be changed of the rendered pods; everything else is Longshore's and fits the restricted profile. */
export interface PodTemplateOverrides {
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  nodeSelector?: Record<string, string>;
  tolerations?: Toleration[];
  /** `core/v1.Affinity`; the API server judges it when the Deployment is applied. */
  affinity?: Record<string, unknown>;
  volumes?: PoolVolume[];
  volumeMounts?: VolumeMount[];
  imagePullSecrets?: { name: string }[];
  priorityClassName?: string;
  /** Never root. */
  securityContext?: { runAsUser?: number; runAsGroup?: number; fsGroup?: number };
}

export interface WorkerPoolSpec {
  types: PoolType[];
  image: string;
  imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never';
  /** Jobs of one pod at once. */
  concurrency?: number;
  minReplicas?: number;
  maxReplicas?: number;
  /** Jobs that call for one further pod; `concurrency` when absent. */
  jobsPerReplica?: number;
  cooldownSeconds?: number;
  terminationGracePeriodSeconds?: number;
  resources?: ResourceRequirements;
  env?: EnvVar[];
  envFrom?: EnvFrom[];
  podTemplate?: PodTemplateOverrides;
  /** Running jobs end, no new one starts. */
  paused?: boolean;
}

/** Types of a WorkerPool's conditions. */
export const WORKER_POOL_CONDITIONS = {
  ready: 'Ready',
  scalerReady: 'ScalerReady',
  progressing: 'Progressing',
} as const;

/** Reasons of a WorkerPool's conditions. */
export const WORKER_POOL_REASONS = {
  available: 'Available',
  /** No pod, because there is no work. */
  idle: 'Idle',
  /** Pods are on their way. */
  starting: 'Starting',
  paused: 'Paused',
  rolling: 'Rolling',
  rolledOut: 'RolledOut',
  draining: 'Draining',
  /** An older pool of the namespace has one of the types. */
  typeConflict: 'TypeConflict',
  /** A name without a schema that no shipped type has. */
  unknownType: 'UnknownType',
  /** A schema that is no JSON Schema, is too large, or refers elsewhere. */
  invalidTypeSchema: 'InvalidTypeSchema',
  tooManyConnections: 'TooManyConnections',
  imagePullFailed: 'ImagePullFailed',
  quotaExceeded: 'QuotaExceeded',
  /** A Secret or ConfigMap that pods name, or a setting of the controller, is not there. */
  configMissing: 'ConfigMissing',
  /** No node has room for the pods, or takes them. */
  unschedulable: 'Unschedulable',
  /** The namespace's rules (pod security, limits) do not let pods be made. */
  podsRefused: 'PodsRefused',
  podsFailing: 'PodsFailing',
  /** The API server refused what was rendered; the message is its own. */
  applyFailed: 'ApplyFailed',
  kedaNotInstalled: 'KedaNotInstalled',
  scalerActive: 'ScalerActive',
  /** KEDA has not said anything yet. */
  scalerStarting: 'ScalerStarting',
  scalerFailed: 'ScalerFailed',
} as const;
export type WorkerPoolReason = (typeof WORKER_POOL_REASONS)[keyof typeof WORKER_POOL_REASONS];

export interface WorkerPoolStatus extends StatusBase {
  /** Names of the types as one text, for the TYPES column. */
  types?: string;
  /** Jobs that wait. */
  queued?: number;
  /** Live leases. */
  active?: number;
  /** What the scaler answers: active and what could run. */
  load?: number;
  oldestWaitingSeconds?: number;
  replicas?: number;
  /** Pods that are ready. */
  ready?: number;
}

export interface WorkerPool {
  apiVersion: typeof API_VERSION;
  kind: typeof WORKER_POOL_KIND;
  metadata: ObjectMeta;
  spec: WorkerPoolSpec;
  status?: WorkerPoolStatus;
}
