import type { KubeObject, ResourceType } from '../../src/kube/resource-type.ts';

const namespaced = (group: string, version: string, plural: string, kind: string): ResourceType => ({
  group,
  version,
  plural,
  kind,
  namespaced: true,
});

export const DEPLOYMENT = namespaced('apps', 'v1', 'deployments', 'Deployment');
export const POD = namespaced('', 'v1', 'pods', 'Pod');
export const JOB = namespaced('batch', 'v1', 'jobs', 'Job');

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
