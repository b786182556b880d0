import { describe, expect, test } from 'vitest';
import { findCondition } from './conditions.ts';
import { WORKER_POOL_KIND, type WorkerPool, type WorkerPoolSpec } from './kinds/worker-pool.ts';
import type { DeploymentView, PodView } from './pool-pods.ts';
import { findConnectionShortage, findTypeConflict } from './pool-refusal.ts';
import { isSameVerdict, type PoolFacts, workerPoolStatus } from './worker-pool-status.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');

function pool(
  name = 'a',
  spec: Partial<WorkerPoolSpec> = {},
  metadata: Partial<WorkerPool['metadata']> = {},
) {
  const made: WorkerPool = {
    apiVersion: 'longshore.dev/v1alpha1',
    kind: WORKER_POOL_KIND,
    metadata: {
      name,
      namespace: 'shop',
      uid: `uid-${name}`,
      generation: 3,
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...metadata,
    },
    spec: { image: 'x', types: [{ name: 'echo' }], ...spec },
  };
  return made;
}

function deployment(status: DeploymentView['status'] = {}, replicas = status?.replicas ?? 0): DeploymentView {
  const { replicas: total = 0 } = status ?? {};
  return {
    metadata: { name: 'a-worker' },
    spec: { replicas },
    status: { updatedReplicas: total, ...status },
  };
}

function pod(status: PodView['status']): PodView {
  return { metadata: { name: 'a-worker-1' }, ...(status === undefined ? {} : { status }) };
}

const waiting = (reason: string, message = '') =>
  pod({ containerStatuses: [{ state: { waiting: { reason, message } } }] });

function judge(facts: Partial<PoolFacts> = {}, of = pool()) {
  const status = workerPoolStatus(of, {
    refusal: null,
    figures: { queued: 1, active: 2, load: 3, oldestWaitingSeconds: 4 },
    deployment: deployment(),
    pods: [],
    hasKeda: true,
    scaledObject: {
      metadata: { name: 'a-worker' },
      status: { conditions: [{ type: 'Ready', status: 'True' }] },
    },
    nowMs: NOW,
    ...facts,
  });
  const find = (type: string) => findCondition(status.conditions ?? [], type);
  return { status, ready: find('Ready'), scaler: find('ScalerReady'), progress: find('Progressing') };
}

describe('Ready', () => {
  test.each<[string, Partial<PoolFacts>, WorkerPool, string, string]>([
    ['no pod without work', {}, pool(), 'True', 'Idle'],
    ['pods', { deployment: deployment({ replicas: 2, readyReplicas: 1 }) }, pool(), 'True', 'Available'],
    ['pods on their way', { deployment: deployment({ replicas: 1 }) }, pool(), 'False', 'Starting'],
    ['nothing made yet', { deployment: null }, pool(), 'False', 'Starting'],
    ['a pause', {}, pool('a', { paused: true }), 'False', 'Paused'],
    ['its end', {}, pool('a', {}, { deletionTimestamp: 'now' }), 'False', 'Draining'],
    ['a refusal', { refusal: { reason: 'UnknownType', message: 'm' } }, pool(), 'False', 'UnknownType'],
  ])('of a pool with %s', (_what, facts, of, status, reason) => {
    expect(judge(facts, of).ready).toMatchObject({ status, reason, observedGeneration: 3 });
  });
});

describe('what keeps pods from working', () => {
  test.each<[PodView, string, string]>([
    [waiting('ImagePullBackOff', 'Back-off pulling image "x"'), 'ImagePullFailed', 'spec.image'],
    [waiting('ErrImagePull'), 'ImagePullFailed', 'imagePullSecrets'],
    [waiting('InvalidImageName'), 'ImagePullFailed', 'spec.image'],
    [waiting('CreateContainerConfigError', 'secret "s" not found'), 'ConfigMissing', 'make the Secret'],
    [waiting('CreateContainerConfigError', 'image runs as root'), 'PodsFailing', 'runs as root'],
    [
      pod({
        containerStatuses: [
          {
            restartCount: 4,
            state: { waiting: { reason: 'CrashLoopBackOff' } },
            lastState: { terminated: { reason: 'OOMKilled', exitCode: 137 } },
          },
        ],
      }),
      'PodsFailing',
      'raise spec.resources.limits.memory',
    ],
    [
      pod({
        conditions: [
          { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/1 nodes' },
        ],
      }),
      'Unschedulable',
      'add nodes',
    ],
  ])('is said with what to do %#', (one, reason, advice) => {
    const { ready, progress } = judge({ deployment: deployment({ replicas: 1 }), pods: [one] });
    expect(ready).toMatchObject({ status: 'False', reason });
    expect(ready?.message).toContain(advice);
    expect(progress).toMatchObject({ status: 'False', reason });
  });

  test.each([
    ['pods "a" is forbidden: exceeded quota: small, requested: cpu=2', 'QuotaExceeded', 'ResourceQuota'],
    ['violates PodSecurity "restricted:latest"', 'PodsRefused', "namespace's rules"],
  ])('is that pods could not be made: %s', (message, reason, advice) => {
    const conditions = [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message }];
    const { ready } = judge({ deployment: deployment({ conditions }, 1) });
    expect(ready).toMatchObject({ status: 'False', reason });
    expect(ready?.message).toContain(advice);
  });

  test('is said by Progressing while older pods work', () => {
    const { ready, progress } = judge({
      deployment: deployment({ replicas: 3, updatedReplicas: 1, readyReplicas: 2 }),
      pods: [waiting('ImagePullBackOff')],
    });
    expect(ready).toMatchObject({ status: 'True', reason: 'Available' });
    expect(progress).toMatchObject({ status: 'False', reason: 'ImagePullFailed' });
  });

  test('is nothing that a pod that goes complains about, and fits into a message', () => {
    const leaving = {
      ...waiting('ImagePullBackOff'),
      metadata: { name: 'old', deletionTimestamp: 'now' },
    };
    expect(judge({ pods: [leaving] }).ready).toMatchObject({ reason: 'Idle' });
    const long = judge({ deployment: deployment({}, 1), pods: [waiting('ErrImagePull', 'x'.repeat(9_000))] });
    expect(long.ready?.message.length).toBeLessThanOrEqual(1_024);
    expect(long.ready?.message).toContain('check spec.image');
  });
});

describe('ScalerReady', () => {
  test.each<[Partial<PoolFacts>, string, string]>([
    [{}, 'True', 'ScalerActive'],
    [{ hasKeda: false, scaledObject: null }, 'False', 'KedaNotInstalled'],
    [{ scaledObject: null }, 'Unknown', 'ScalerStarting'],
    [{ scaledObject: { metadata: { name: 'a' } } }, 'Unknown', 'ScalerStarting'],
    [
      {
        scaledObject: {
          metadata: { name: 'a' },
          status: { conditions: [{ type: 'Ready', status: 'False', message: 'no' }] },
        },
      },
      'False',
      'ScalerFailed',
    ],
  ])('%#', (facts, status, reason) => {
    expect(judge(facts).scaler).toMatchObject({ status, reason });
  });
});

test('Progressing tells of a roll-out and of its end', () => {
  const rolling = judge({ deployment: deployment({ replicas: 4, updatedReplicas: 1, readyReplicas: 4 }) });
  expect(rolling.progress).toMatchObject({ status: 'True', reason: 'Rolling' });
  expect(judge().progress).toMatchObject({ status: 'False', reason: 'RolledOut' });
});

test('a status is the same object in value until something changes, whatever the time', () => {
  const first = judge().status;
  const again = judge({ nowMs: NOW + 60_000 }, { ...pool(), status: first }).status;
  expect(again).toEqual(first);
  const busier = judge(
    { figures: { queued: 9, active: 9, load: 9, oldestWaitingSeconds: 9 } },
    { ...pool(), status: first },
  ).status;
  expect(busier).not.toEqual(first);
  expect(isSameVerdict(first, busier)).toBe(true);
  expect(isSameVerdict(first, judge({ deployment: null }).status)).toBe(false);
});

describe('two pools of a namespace', () => {
  const elder = pool('elder', { types: [{ name: 'echo' }, { name: 'b' }] });
  const younger = pool('younger', {}, { creationTimestamp: '2026-01-01T00:00:01Z' });

  test('that claim one type: the younger waits', () => {
    expect(findTypeConflict(elder, [elder, younger])).toBeNull();
    expect(findTypeConflict(younger, [elder, younger])).toMatchObject({ reason: 'TypeConflict' });
    expect(findTypeConflict(younger, [elder, younger])?.message).toContain('"elder"');
  });

  test('of one second: exactly one of them waits', () => {
    const twin = pool('twin');
    const verdicts = [elder, twin].map((one) => findTypeConflict(one, [twin, elder]));
    expect(verdicts.filter((verdict) => verdict === null)).toHaveLength(1);
  });

  test.each([
    ['in another namespace', pool('elder', {}, { namespace: 'other' })],
    ['that is going', pool('elder', {}, { deletionTimestamp: 'now' })],
    ['with other types', pool('elder', { types: [{ name: 'z' }] })],
  ])('one %s holds nothing back', (_what, other) => {
    expect(findTypeConflict(younger, [other, younger])).toBeNull();
  });
});

test('connections are counted from the oldest pool on, a roll-out included', () => {
  const elder = pool('elder', { maxReplicas: 9 });
  const younger = pool('younger', { maxReplicas: 4 }, { creationTimestamp: '2026-02-01T00:00:00Z' });
  const all = [younger, elder];
  const budget = (available: number) => ({ available, source: 'max_connections' });
  expect(findConnectionShortage(elder, all, budget(20))).toBeNull();
  expect(findConnectionShortage(younger, all, budget(30))).toBeNull();
  const refusal = findConnectionShortage(younger, all, budget(29));
  expect(refusal).toMatchObject({ reason: 'TooManyConnections' });
  expect(refusal?.message).toContain('lower maxReplicas to 3 ');
});
