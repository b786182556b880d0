import type { ObjectMeta, ResourceType } from '../kinds/meta.ts';

/** Kinds of Kubernetes and of its neighbours that a pool is rendered into. */

const namespaced = (group: string, version: string, plural: string, kind: string): ResourceType => ({
  group,
  version,
  plural,
  kind,
  namespaced: true,
});

export const DEPLOYMENT = namespaced('apps', 'v1', 'deployments', 'Deployment');
export const POD = namespaced('', 'v1', 'pods', 'Pod');
export const SECRET = namespaced('', 'v1', 'secrets', 'Secret');
export const SERVICE_ACCOUNT = namespaced('', 'v1', 'serviceaccounts', 'ServiceAccount');
export const NETWORK_POLICY = namespaced('networking.k8s.io', 'v1', 'networkpolicies', 'NetworkPolicy');
export const SCALED_OBJECT = namespaced('keda.sh', 'v1alpha1', 'scaledobjects', 'ScaledObject');
export const TRIGGER_AUTHENTICATION = namespaced(
  'keda.sh',
  'v1alpha1',
  'triggerauthentications',
  'TriggerAuthentication',
);
export const POD_MONITOR = namespaced('monitoring.coreos.com', 'v1', 'podmonitors', 'PodMonitor');

/** An object as server-side apply takes it: what Longshore owns, and nothing else. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta & { namespace: string };
  [field: string]: unknown;
}
