import type { JobTypeDefaults } from '../../job-type.ts';
import type {
  PoolType,
  PoolTypeLimits,
  ResourceRequirements,
  WorkerPoolSpec,
  WorkerPoolStatus,
} from '../worker-pool.ts';
import { bool, choice, int, list, map, object, optional, quantity, text, untyped } from './builder.ts';
import { statusBase, typeName } from './common.ts';
import { env, envFrom, podTemplate } from './pod-template.ts';

const DAY_MS = 86_400_000;
const YEAR_SECONDS = 365 * 24 * 3_600;

const defaults = object<Partial<JobTypeDefaults>>(
  {
    timeoutSeconds: optional(int({ min: 1, max: 86_400 })),
    maxTimeoutSeconds: optional(int({ min: 1, max: 86_400 })),
    retries: optional(int({ min: 0, max: 100 })),
    maxRetries: optional(int({ min: 0, max: 100 })),
    backoff: optional(
      object(
        { baseMs: int({ min: 1, max: DAY_MS }), maxMs: int({ min: 1, max: DAY_MS }) },
        { rules: [{ rule: 'self.baseMs <= self.maxMs', message: 'baseMs must not exceed maxMs' }] },
      ),
    ),
    ttlSecondsAfterFinished: optional(int({ min: 0, max: YEAR_SECONDS })),
  },
  {
    description: 'What jobs of the type get when they say nothing, and the most they may ask for.',
    rules: [
      {
        rule: '!has(self.timeoutSeconds) || !has(self.maxTimeoutSeconds) || self.timeoutSeconds <= self.maxTimeoutSeconds',
        message: 'timeoutSeconds must not exceed maxTimeoutSeconds',
      },
      {
        rule: '!has(self.retries) || !has(self.maxRetries) || self.retries <= self.maxRetries',
        message: 'retries must not exceed maxRetries',
      },
    ],
  },
);

const limits = object<PoolTypeLimits>(
  {
    maxRunning: optional(int({ description: 'Jobs of the type that run at once.', min: 1, max: 100_000 })),
    rate: optional(
      object(
        { count: int({ min: 1, max: 1_000_000 }), perSeconds: int({ min: 1, max: 86_400 }) },
        { description: 'Starts in any perSeconds seconds.' },
      ),
    ),
  },
  { description: 'Limits over all pods of the namespace together.' },
);

const type = object<PoolType>(
  {
    name: typeName('A shipped type, or the name of your own.'),
    description: optional(text({ max: 1_024 })),
    inputSchema: optional(
      untyped({ description: 'JSON Schema of the input, at most 32 KiB; it makes the type your own.' }),
    ),
    resultSchema: optional(untyped({ description: 'JSON Schema of the result, at most 32 KiB.' })),
    defaults: optional(defaults),
    limits: optional(limits),
  },
  {
    rules: [
      {
        rule: 'has(self.inputSchema) || !(has(self.description) || has(self.resultSchema) || has(self.defaults) || has(self.limits))',
        message:
          'a shipped type is given by its name alone; description, resultSchema, defaults and limits belong to a type with an inputSchema',
      },
    ],
  },
);

const amounts = map(quantity(), { max: 16 });

const spec = object<WorkerPoolSpec>(
  {
    types: list(type, { description: 'What the pods work on.', min: 1, max: 64, key: 'name' }),
    image: text({ description: 'Image of the worker.', min: 1, max: 512, pattern: String.raw`^[^\s]+$` }),
    imagePullPolicy: optional(choice(['Always', 'IfNotPresent', 'Never'])),
    concurrency: optional(
      int({ description: 'Jobs of one pod at once; 10 when absent.', min: 1, max: 1_000 }),
    ),
    minReplicas: optional(int({ description: '0 when absent.', min: 0, max: 1_000 })),
    maxReplicas: optional(int({ description: '10 when absent.', min: 1, max: 1_000 })),
    jobsPerReplica: optional(
      int({
        description: 'Jobs that call for one further pod; concurrency when absent.',
        min: 1,
        max: 100_000,
      }),
    ),
    cooldownSeconds: optional(
      int({
        description: 'Without work this long the pool goes to minReplicas; 60 when absent.',
        min: 0,
        max: 86_400,
      }),
    ),
    terminationGracePeriodSeconds: optional(
      int({
        description: 'Running jobs may end this long after SIGTERM; 60 when absent.',
        min: 1,
        max: 86_400,
      }),
    ),
    resources: optional(
      object<ResourceRequirements>({ requests: optional(amounts), limits: optional(amounts) }),
    ),
    env: optional(env),
    envFrom: optional(envFrom),
    podTemplate: optional(podTemplate),
    paused: optional(bool('Running jobs end, no new one starts.')),
  },
  {
    rules: [
      {
        rule: '(has(self.minReplicas) ? self.minReplicas : 0) <= (has(self.maxReplicas) ? self.maxReplicas : 10)',
        message: 'minReplicas must not exceed maxReplicas (10 when absent)',
        fieldPath: '.minReplicas',
      },
    ],
  },
);

const count = (description: string) => optional(int({ description, min: 0, max: 2_147_483_647 }));

const status = object<WorkerPoolStatus>({
  ...statusBase,
  types: optional(text({ description: 'Names of the types in one text.', max: 4_096 })),
  queued: count('Jobs that wait.'),
  active: count('Jobs that run.'),
  load: count('What the scaler answers: active and what could run.'),
  oldestWaitingSeconds: count('Age of the job that waits longest.'),
  replicas: count('Pods.'),
  ready: count('Pods that are ready.'),
});

export const workerPoolSchema = {
  description: 'Pods that run the jobs of some types, as many as the work needs.',
  spec,
  status,
};
