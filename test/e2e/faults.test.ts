import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { waitFor } from '../support/wait-for.ts';
import type { CheckedClient } from './support/checked-client.ts';
import { ROOT, useWorld } from './support/world.ts';

const world = useWorld();
const { kubectl, system, installed } = world;
const JOBS = 60;

beforeAll(() => world.greeters({ concurrency: 5, jobsPerReplica: 5, maxReplicas: 3, cooldownSeconds: 30 }));
afterEach(() => world.audit());

/** Submits jobs all the while that `fault` does its work, and holds every one of them against the ledger at the end. */
async function under(fault: (client: CheckedClient) => Promise<void>): Promise<CheckedClient> {
  const client = world.client();
  const submit = (count: number) =>
    Promise.all(
      Array.from({ length: count }, () => client.submit({ type: 'greet', input: { name: 'x', seconds: 2 } })),
    );
  await submit(JOBS / 3);
  await waitFor(async () => (await world.replicas('greeters')) > 0, {
    timeoutMs: 60_000,
    describe: 'a pod of the pool',
  });
  await Promise.all([fault(client), submit(JOBS / 3)]);
  await submit(JOBS / 3);
  return client;
}

const allSucceed = async (client: CheckedClient) => expect(await client.ends()).toEqual({ SUCCESS: JOBS });

describe('every accepted job ends once when', () => {
  test.each([
    ['with their grace period', true],
    ['at once', false],
  ])('the pods of the pool are ended %s', async (_, grace) => {
    await allSucceed(
      await under(async () => {
        expect(await kubectl.deletePods(world.poolPods('greeters'), { grace })).not.toHaveLength(0);
      }),
    );
  });

  test('the leading controller is ended', async () => {
    const leader = async () => {
      const leases = await system.list('leases');
      return leases.map(({ spec }) => spec.holderIdentity).find((holder) => holder?.includes('controller'));
    };
    await allSucceed(
      await under(async () => {
        const before = await leader();
        const pods = await system.list('pods', world.podsOf('controller'));
        const pod = pods.find(({ metadata }) => before?.includes(metadata.name));
        expect(pod, `a pod that holds the lease as ${before}`).toBeDefined();
        await system.run(['delete', 'pod', pod?.metadata.name ?? '', '--force', '--grace-period=0']);
        await waitFor(async () => (await leader()) !== before, {
          timeoutMs: 30_000,
          describe: 'another leader',
        });
      }),
    );
  });

  test('all pods of the API are ended at once', async () => {
    await allSucceed(
      await under(async () => {
        await system.deletePods(world.podsOf('api'), { grace: false });
        await system.run(['rollout', 'status', `deployment/${installed.prefix}-api`, '--timeout=90s'], {
          timeoutMs: 100_000,
        });
      }),
    );
  });

  test('Redis forgets everything', async () => {
    await allSucceed(
      await under(async () => {
        await system.run(['exec', `${installed.prefix}-redis-0`, '--', 'redis-cli', 'FLUSHALL']);
      }),
    );
  });

  test('PostgreSQL is restarted', async () => {
    const pod = `pod/${installed.prefix}-postgresql-0`;
    await allSucceed(
      await under(async () => {
        await system.run(['delete', pod, '--wait=false']);
        await waitFor(async () => (await system.get(pod))?.metadata.deletionTimestamp === undefined, {
          timeoutMs: 60_000,
          describe: 'a new pod of PostgreSQL',
        });
        await system.waitFor('condition=Ready', pod, 90);
      }),
    );
  });

  test('KEDA is restarted', async () => {
    const keda = system.in('keda');
    await allSucceed(
      await under(async () => {
        await keda.run(['rollout', 'restart', 'deployment/keda-operator']);
        await keda.run(['rollout', 'status', 'deployment/keda-operator', '--timeout=90s'], {
          timeoutMs: 100_000,
        });
      }),
    );
  });

  test.skipIf(installed.engine === 'named')('the API server of Kubernetes crashes', async () => {
    const cluster = fileURLToPath(new URL('hack/cluster/cluster', ROOT));
    await allSucceed(
      await under(async () => {
        execFileSync(cluster, ['crash', 'kube-apiserver']);
        await waitFor(() => kubectl.run(['get', '--raw', '/readyz']), {
          timeoutMs: 60_000,
          describe: 'the API server',
        });
      }),
    );
  });
});

test('when all QueueJobs are deleted by hand, ours come back and end, and applied ones end cancelled', async () => {
  const applied = Array.from({ length: 5 }, (_, number) => ({
    apiVersion: 'longshore.dev/v1alpha1',
    kind: 'QueueJob',
    metadata: { name: `by-hand-${number}` },
    spec: { type: 'greet', input: { name: 'x', seconds: 60 }, labels: { applied: 'by-hand' } },
  }));
  await kubectl.apply(...applied);
  for (const { metadata } of applied) {
    await waitFor(
      async () =>
        (await kubectl.get(`queuejob/${metadata.name}`))?.metadata.annotations?.['longshore.dev/job-id'],
      { timeoutMs: 60_000, describe: `the id of ${metadata.name}` },
    );
  }
  const client = await under(async () => {
    const deleted = new Set((await kubectl.list('queuejobs')).map(({ metadata }) => metadata.uid));
    await kubectl.run(['delete', 'queuejobs', '--all', '--wait=false']);
    const left = async () =>
      (await kubectl.list('queuejobs')).filter(({ metadata }) => deleted.has(metadata.uid)).length;
    await waitFor(left, (count) => count === 0, {
      timeoutMs: 90_000,
      describe: 'the deletion of every QueueJob',
    });
  });
  await allSucceed(client);
  const byLabel = '/v1/jobs?label=applied%3Dby-hand&limit=100';
  const { jobs } = await client.call<{ jobs: { status: string }[] }>('GET', byLabel);
  expect(jobs.map(({ status }) => status)).toEqual(applied.map(() => 'CANCELLED'));
});
