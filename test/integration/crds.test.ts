import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { JOB_SCHEDULE } from '../../src/core/kinds/job-schedule.ts';
import { QUEUE_JOB } from '../../src/core/kinds/queue-job.ts';
import { customResourceDefinitions } from '../../src/core/kinds/schema/crd.ts';
import { WORKER_POOL } from '../../src/core/kinds/worker-pool.ts';
import type { ResourceType } from '../../src/kube/resource-type.ts';
import { type Custom, useKinds } from '../support/kinds.ts';

const CRDS = fileURLToPath(new URL('../../k8s/crds', import.meta.url));

const kinds = useKinds('crds');

const job = { type: 'contract-source' };
const pool = { image: 'worker:1', types: [{ name: 'contract-source' }] };
const schedule = { jobTemplate: job };
const env = (entry: object) => ({ ...pool, env: [entry] });
const pod = (podTemplate: object) => ({ ...pool, podTemplate });

describe('a wrong QueueJob is refused with a message that helps', () => {
  test.each<[object, string]>([
    [{}, 'spec.type: Required value'],
    [{ type: 'Upper' }, "spec.type in body should match '^[a-z]([-a-z0-9]*[a-z0-9])?$'"],
    [{ type: 'a'.repeat(64) }, 'spec.type: Too long: may not be more than 63'],
    [{ ...job, typo: 1 }, 'unknown field "spec.typo"'],
    [
      { ...job, input: 'text' },
      'spec.input in body should match \'^\\b\\B(an object, such as {"address": "0x1"})$\'',
    ],
    [{ ...job, input: '' }, 'an object, such as'],
    [{ ...job, input: 7 }, 'spec.input in body should be less than or equal to 0'],
    [{ ...job, input: [1] }, 'spec.input: Too many'],
    [{ ...job, input: [] }, 'spec.input in body should have at least 1 items'],
    [{ ...job, priority: 1_000 }, 'spec.priority in body should be less than or equal to 100'],
    [{ ...job, priority: '5' }, 'spec.priority in body must be of type integer'],
    [{ ...job, runAt: 'tomorrow' }, 'spec.runAt in body must be of type date-time'],
    [{ ...job, retries: -1 }, 'spec.retries in body should be greater than or equal to 0'],
    [{ ...job, timeoutSeconds: 0 }, 'spec.timeoutSeconds in body should be greater than or equal to 1'],
    [{ ...job, backoff: { baseMs: 5, maxMs: 1 } }, 'baseMs must not exceed maxMs'],
    [{ ...job, backoff: { baseMs: 5 } }, 'spec.backoff.maxMs: Required value'],
    [{ ...job, webhook: { url: 'ftp://x' } }, 'must be an https URL of visible ASCII'],
    [{ ...job, idempotencyKey: 'a\r\nb' }, 'spec.idempotencyKey in body should match'],
    [{ ...job, idempotencyKey: 'k'.repeat(256) }, 'spec.idempotencyKey: Too long'],
    [{ ...job, labels: { 'bad key': 'x' } }, 'a label name has at most 63 letters'],
    [{ ...job, labels: { a: 'b c' } }, 'spec.labels.a in body should match'],
    [
      { ...job, input: {}, inputRef: { bytes: 1, sha256: 'a'.repeat(64) } },
      'input and inputRef exclude each other',
    ],
    [{ ...job, inputRef: { bytes: 1, sha256: 'xyz' } }, 'spec.inputRef.sha256 in body should match'],
  ])('%j', async (spec, message) => {
    expect(await kinds.tryCreate(QUEUE_JOB, spec)).toContain(message);
  });
});

describe('a wrong JobSchedule is refused with a message that helps', () => {
  test.each<[object, string]>([
    [schedule, 'either cron or every is needed, not both'],
    [{ ...schedule, cron: '* * * * *', every: '10s' }, 'either cron or every is needed, not both'],
    [{ ...schedule, cron: '* * * *' }, 'must have five fields: minute, hour, day, month, weekday'],
    [{ ...schedule, cron: '* * * * * *' }, 'must have five fields: minute, hour, day, month, weekday'],
    [{ ...schedule, every: '10s', timeZone: 'Europe/Berlin' }, 'timeZone is for cron only'],
    [{ ...schedule, every: '0s' }, 'must be like 10s, 5m, 2h or 1d, at most 31d'],
    [{ ...schedule, every: '10 s' }, 'must be like 10s, 5m, 2h or 1d, at most 31d'],
    [{ ...schedule, every: '32d' }, 'must be like 10s, 5m, 2h or 1d, at most 31d'],
    [{ ...schedule, every: '2678401s' }, 'must be like 10s, 5m, 2h or 1d, at most 31d'],
    [{ ...schedule, every: '1m', overlap: 'Forbid' }, 'supported values: "allow", "skip", "replace"'],
    [{ ...schedule, every: '1m', catchUp: { policy: 'last', limit: 3 } }, 'limit belongs to policy all'],
    [{ ...schedule, every: '1m', catchUp: { policy: 'all', limit: 101 } }, 'less than or equal to 100'],
    [{ every: '1m' }, 'spec.jobTemplate: Required value'],
    [
      { every: '1m', jobTemplate: { ...job, input: [] } },
      'spec.jobTemplate.input in body must be of type object',
    ],
    [
      { every: '1m', jobTemplate: { ...job, runAt: '2030-01-01T00:00:00Z' } },
      'unknown field "spec.jobTemplate.runAt"',
    ],
  ])('%j', async (spec, message) => {
    expect(await kinds.tryCreate(JOB_SCHEDULE, spec)).toContain(message);
  });
});

describe('a wrong WorkerPool is refused with a message that helps', () => {
  const tooMany = 'minReplicas must not exceed maxReplicas (10 when absent)';
  test.each<[object, string]>([
    [{ types: pool.types }, 'spec.image: Required value'],
    [{ ...pool, image: '' }, 'spec.image in body should be at least 1 chars long'],
    [{ ...pool, types: [] }, 'spec.types in body should have at least 1 items'],
    [{ ...pool, types: [{ name: 'a' }, { name: 'a' }] }, 'spec.types[1]: Duplicate value'],
    [
      { ...pool, types: [{ name: 'a', limits: { maxRunning: 1 } }] },
      'a shipped type is given by its name alone',
    ],
    [{ ...pool, minReplicas: 3, maxReplicas: 2 }, tooMany],
    [{ ...pool, minReplicas: 11 }, tooMany],
    [{ ...pool, maxReplicas: 0 }, 'spec.maxReplicas in body should be greater than or equal to 1'],
    [{ ...pool, concurrency: 0 }, 'spec.concurrency in body should be greater than or equal to 1'],
    [{ ...pool, resources: { limits: { cpu: 'much' } } }, 'spec.resources.limits.cpu in body should match'],
    [
      env({ name: 'A', value: 'b', valueFrom: { fieldRef: { fieldPath: 'x' } } }),
      'value and valueFrom exclude',
    ],
    [
      env({ name: 'A', valueFrom: {} }),
      'exactly one of secretKeyRef, configMapKeyRef and fieldRef is needed',
    ],
    [
      env({ name: 'LONGSHORE_POOL_SECRET', value: 'x' }),
      'names that start with LONGSHORE_ are set by Longshore',
    ],
    [{ ...pool, envFrom: [{}] }, 'either secretRef or configMapRef is needed'],
    [
      pod({ volumes: [{ name: 'a', hostPath: { path: '/' } }] }),
      'unknown field "spec.podTemplate.volumes[0].hostPath"',
    ],
    [
      pod({ volumes: [{ name: 'a' }] }),
      'exactly one of emptyDir, configMap, secret, persistentVolumeClaim is needed',
    ],
    [pod({ securityContext: { runAsUser: 0 } }), 'runAsUser in body should be greater than or equal to 1'],
    [pod({ serviceAccountName: 'admin' }), 'unknown field "spec.podTemplate.serviceAccountName"'],
  ])('%j', async (spec, message) => {
    expect(await kinds.tryCreate(WORKER_POOL, spec)).toContain(message);
  });

  test('the fullest right ones are taken', async () => {
    const inputSchema = { type: 'object', properties: { who: { type: 'string' } }, required: ['who'] };
    const greet = { name: 'greet', inputSchema, defaults: { retries: 1 }, limits: { maxRunning: 3 } };
    const podTemplate = {
      affinity: { nodeAffinity: {} },
      volumes: [{ name: 'tmp', emptyDir: { sizeLimit: '1Gi' } }],
      volumeMounts: [{ name: 'tmp', mountPath: '/scratch' }],
      nodeSelector: { 'kubernetes.io/arch': 'amd64' },
    };
    const resources = { requests: { cpu: 1, memory: '128Mi' } };
    const secretKeyRef = { name: 's', key: 'k' };
    const full = {
      ...pool,
      types: [greet],
      podTemplate,
      resources,
      env: [{ name: 'T', valueFrom: { secretKeyRef } }],
    };
    expect(await kinds.tryCreate(WORKER_POOL, full)).toBe('ok');
  });
});

describe('what the API server cannot see, so the controller must', () => {
  test.each<[string, ResourceType, object]>([
    ['the size of the input', QUEUE_JOB, { ...job, input: { text: 'x'.repeat(9_000) } }],
    ['an input of true', QUEUE_JOB, { ...job, input: true }],
    [
      'an inputRef that Longshore did not write',
      QUEUE_JOB,
      { ...job, inputRef: { bytes: 1, sha256: 'a'.repeat(64) } },
    ],
    ['a runAt of the far future', QUEUE_JOB, { ...job, runAt: '2999-01-01T00:00:00Z' }],
    ['a webhook to a private address', QUEUE_JOB, { ...job, webhook: { url: 'https://169.254.169.254/' } }],
    ['a cron that never comes', JOB_SCHEDULE, { ...schedule, cron: '0 0 31 2 *' }],
    ['a time zone that is none', JOB_SCHEDULE, { ...schedule, cron: '* * * * *', timeZone: 'Mars/Olympus' }],
    [
      'a JSON Schema that is none',
      WORKER_POOL,
      { ...pool, types: [{ name: 'a', inputSchema: { type: 'nothing' } }] },
    ],
    [
      'a JSON Schema of 40 kB',
      WORKER_POOL,
      { ...pool, types: [{ name: 'a', inputSchema: { x: 'x'.repeat(40_000) } }] },
    ],
  ])('%s', async (_what, type, spec) => {
    expect(await kinds.tryCreate(type, spec)).toBe('ok');
  });
});

test('an object of Longshore’s with an ordinary input is small, and nothing is defaulted into it', async () => {
  const spec = { ...job, input: { address: '0x1' } };
  const created = await kinds.client.create<Custom>(QUEUE_JOB, kinds.manifest(QUEUE_JOB, 'small', spec));
  expect(created.spec).toEqual(spec);
  expect(JSON.stringify(created).length).toBeLessThan(1_000);
});

test('the committed CRDs are those of the schemas', async () => {
  for (const crd of customResourceDefinitions()) {
    const [plural] = crd.metadata.name.split('.');
    const text = await readFile(`${CRDS}/longshore.dev_${plural}.yaml`, 'utf8');
    expect(text.split('\n')[0]).toMatch(/^# DO NOT EDIT/);
    expect(parse(text)).toEqual(JSON.parse(JSON.stringify(crd)));
  }
});
