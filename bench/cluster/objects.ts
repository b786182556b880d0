import type { KubeObject, ResourceType } from '../../src/kube/resource-type.ts';

export const JOB: ResourceType = {
  group: 'batch',
  version: 'v1',
  plural: 'jobs',
  kind: 'Job',
  namespaced: true,
};

export interface Workload extends KubeObject {
  spec: { replicas?: number };
  status?: { readyReplicas?: number };
}

export interface PodObject extends KubeObject {
  spec: { nodeName?: string };
  status: { phase: string };
}

export interface BatchJob extends KubeObject {
  spec: object;
  status?: { succeeded?: number; completionTime?: string };
}
