import type { Kubectl } from './crds.ts';

const GROUP = 'keda.sh';

/** The kinds of KEDA that Longshore writes, without KEDA: any content, and a status. */
function definition(plural: string, kind: string): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase() },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  };
}

const DEFINITIONS = [
  definition('scaledobjects', 'ScaledObject'),
  definition('triggerauthentications', 'TriggerAuthentication'),
];
const NAMES = ['scaledobjects', 'triggerauthentications'].map((plural) => `crd/${plural}.${GROUP}`);

export async function installKedaKinds(kubectl: Kubectl): Promise<void> {
  for (const one of DEFINITIONS) await kubectl(['apply', '-f', '-'], JSON.stringify(one));
  await kubectl(['wait', '--for=condition=Established', '--timeout=30s', ...NAMES]);
}

export async function removeKedaKinds(kubectl: Kubectl): Promise<void> {
  await kubectl(['delete', '--ignore-not-found', '--timeout=30s', ...NAMES]);
}
