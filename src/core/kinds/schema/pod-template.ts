import type {
  EnvFrom,
  EnvVar,
  KeyRef,
  PodTemplateOverrides,
  PoolVolume,
  Toleration,
  VolumeMount,
} from '../worker-pool.ts';
import { bool, choice, int, list, map, object, optional, quantity, text, untyped } from './builder.ts';
import { labels, resourceName } from './common.ts';

/** Pieces of pods. What would break the restricted profile (hostPath, root, privileges) cannot be said. */

const maybe = optional(bool('The pod starts without it, too.'));

const keyRef = object<KeyRef>({
  name: resourceName('Name of the object.'),
  key: text({ min: 1, max: 253, pattern: '^[-._a-zA-Z0-9]+$' }),
  optional: maybe,
});

const ENV_NAME = '^[A-Za-z_][A-Za-z0-9_.-]*$';

const envVar = object<EnvVar>(
  {
    name: text({ min: 1, max: 253, pattern: ENV_NAME }),
    value: optional(text({ max: 32_768 })),
    valueFrom: optional(
      object<NonNullable<EnvVar['valueFrom']>>(
        {
          secretKeyRef: optional(keyRef),
          configMapKeyRef: optional(keyRef),
          fieldRef: optional(object({ fieldPath: text({ min: 1, max: 253 }) })),
        },
        {
          rules: [
            {
              rule: '[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].filter(given, given).size() == 1',
              message: 'exactly one of secretKeyRef, configMapKeyRef and fieldRef is needed',
            },
          ],
        },
      ),
    ),
  },
  {
    rules: [
      {
        rule: '!(has(self.value) && has(self.valueFrom))',
        message: 'value and valueFrom exclude each other',
      },
      {
        rule: "!self.name.startsWith('LONGSHORE_')",
        message: 'names that start with LONGSHORE_ are set by Longshore',
        fieldPath: '.name',
      },
    ],
  },
);

const source = object<NonNullable<EnvFrom['secretRef']>>({
  name: resourceName('Name of the object.'),
  optional: maybe,
});

export const env = list(envVar, { max: 128, key: 'name' });

export const envFrom = list(
  object<EnvFrom>(
    {
      prefix: optional(text({ max: 64, pattern: ENV_NAME })),
      secretRef: optional(source),
      configMapRef: optional(source),
    },
    {
      rules: [
        {
          rule: 'has(self.secretRef) != has(self.configMapRef)',
          message: 'either secretRef or configMapRef is needed',
        },
      ],
    },
  ),
  { max: 32 },
);

const toleration = object<Toleration>({
  key: optional(text({ max: 316 })),
  operator: optional(choice(['Exists', 'Equal'])),
  value: optional(text({ max: 63 })),
  effect: optional(choice(['NoSchedule', 'PreferNoSchedule', 'NoExecute'])),
  tolerationSeconds: optional(int({ min: 0, max: 2_147_483_647 })),
});

const VOLUME_SOURCES = ['emptyDir', 'configMap', 'secret', 'persistentVolumeClaim'] as const;

const volume = object<PoolVolume>(
  {
    name: text({ min: 1, max: 63, pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' }),
    emptyDir: optional(
      object<NonNullable<PoolVolume['emptyDir']>>({
        medium: optional(choice(['', 'Memory'])),
        sizeLimit: optional(quantity()),
      }),
    ),
    configMap: optional(source),
    secret: optional(
      object<NonNullable<PoolVolume['secret']>>({
        secretName: resourceName('Name of the Secret.'),
        optional: maybe,
      }),
    ),
    persistentVolumeClaim: optional(
      object<NonNullable<PoolVolume['persistentVolumeClaim']>>({
        claimName: resourceName('Name of the claim.'),
        readOnly: optional(bool('Mounted read-only.')),
      }),
    ),
  },
  {
    rules: [
      {
        rule: `[${VOLUME_SOURCES.map((name) => `has(self.${name})`).join(', ')}].filter(given, given).size() == 1`,
        message: `exactly one of ${VOLUME_SOURCES.join(', ')} is needed`,
      },
    ],
  },
);

const volumeMount = object<VolumeMount>({
  name: text({ min: 1, max: 63 }),
  mountPath: text({ min: 1, max: 1_024, pattern: '^/[^:]*$' }),
  subPath: optional(text({ max: 1_024 })),
  readOnly: optional(bool('Mounted read-only.')),
});

const id = (description: string) => optional(int({ description, min: 1, max: 2_147_483_647 }));

export const podTemplate = object<PodTemplateOverrides>(
  {
    labels: optional(labels('Further labels of the pods.')),
    annotations: optional(map(text({ max: 4_096 }), { max: 32 })),
    nodeSelector: optional(labels('Labels of the nodes that may run the pods.')),
    tolerations: optional(list(toleration, { max: 32 })),
    affinity: optional(untyped({ description: 'As in a Pod; judged when the Deployment is applied.' })),
    volumes: optional(list(volume, { max: 32, key: 'name' })),
    volumeMounts: optional(list(volumeMount, { max: 32, key: 'mountPath' })),
    imagePullSecrets: optional(
      list(object({ name: resourceName('Name of the Secret.') }), { max: 8, key: 'name' }),
    ),
    priorityClassName: optional(resourceName('Name of a PriorityClass.')),
    securityContext: optional(
      object<NonNullable<PodTemplateOverrides['securityContext']>>({
        runAsUser: id('Not root.'),
        runAsGroup: id('Not root.'),
        fsGroup: id('Group of mounted volumes.'),
      }),
    ),
  },
  { description: 'What may be changed of the pods.' },
);
