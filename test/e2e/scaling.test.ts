import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../support/wait-for.ts';
import type { JobView } from './support/checked-client.ts';
import { useWorld } from './support/world.ts';

const world = useWorld();
const { kubectl } = world;

beforeAll(() => world.greeters({ concurrency: 2, jobsPerReplica: 2, maxReplicas: 3, cooldownSeconds: 5 }));
afterAll(() => world.audit());

const replicas = (pool: string, wanted: number, timeoutMs: number) =>
  waitFor(
    () => world.replicas(pool),
    (seen) => seen === wanted,
    { timeoutMs, describe: `${wanted} pods of ${pool}` },
  );

test('pods come with the work, as many as it needs, and all leave again', async () => {
  const client = world.client();
  await replicas('greeters', 0, 120_000);
  const first = await client.submit({ type: 'greet', input: { name: 'first', seconds: 2 } });
  expect(await client.ended(first, 60_000)).toMatchObject({ status: 'SUCCESS' });
  await Promise.all(
    Array.from({ length: 12 }, () => client.submit({ type: 'greet', input: { name: 'many', seconds: 10 } })),
  );
  await replicas('greeters', 3, 60_000);
  expect(await client.ends()).toEqual({ SUCCESS: 13 });
  await replicas('greeters', 0, 120_000);
  // Figures alone are no reason for a write, so they come a moment later.
  await waitFor(
    async () => (await kubectl.get('workerpool/greeters'))?.status,
    (status) => status?.replicas === 0 && status.queued === 0 && status.active === 0,
    { timeoutMs: 30_000, describe: 'the status of a pool at rest' },
  );
});

test('of jobs that wait, those of higher priority start first', async () => {
  await world.greeters({ concurrency: 1, jobsPerReplica: 1, maxReplicas: 1, cooldownSeconds: 5 });
  await replicas('greeters', 0, 120_000);
  const client = world.client();
  const priorities = [-100, 0, 100, -50, 50];
  const { jobs } = await client.call<{ jobs: JobView[] }>('POST', '/v1/jobs:batch', {
    jobs: priorities.map((priority) => ({ type: 'greet', input: { name: String(priority) }, priority })),
  });
  const started = new Map<number, string>();
  for (const [index, { id }] of jobs.entries()) {
    const job = await client.ended(id);
    expect(job).toMatchObject({ status: 'SUCCESS' });
    started.set(priorities[index] ?? Number.NaN, job.startedAt ?? '');
  }
  const inOrder = [...started].sort(([, a], [, b]) => (a < b ? -1 : 1)).map(([priority]) => priority);
  expect(inOrder).toEqual([100, 50, 0, -50, -100]);
});

test('thirty pools at once, of thirty tenants, reach zero again', async () => {
  const tenants = Array.from({ length: 30 }, (_, number) => `longshore-e2e-tenant-${number}`);
  await kubectl.apply(
    ...tenants.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
  );
  const podsOfAll = async () => {
    const lists = await kubectl.run([
      'get',
      'pods',
      '--all-namespaces',
      '--selector',
      world.poolPods('greeters'),
      '--output',
      'name',
    ]);
    return lists === '' ? 0 : lists.split('\n').length;
  };
  try {
    const pool = {
      maxReplicas: 1,
      cooldownSeconds: 5,
      resources: { requests: { cpu: '1m', memory: '16Mi' }, limits: { memory: '256Mi' } },
    };
    await Promise.all(tenants.map((tenant) => world.in(tenant).greeters(pool)));
    const spec = { type: 'greet', input: { name: 'x', seconds: 1 } };
    const job = { apiVersion: 'longshore.dev/v1alpha1', kind: 'QueueJob', metadata: { name: 'one' }, spec };
    await Promise.all(tenants.map((tenant) => kubectl.in(tenant).apply(job)));
    await Promise.all(
      tenants.map((tenant) => kubectl.in(tenant).waitFor('condition=Finished', 'queuejob/one', 280)),
    );
    await waitFor(podsOfAll, (count) => count === 0, {
      timeoutMs: 240_000,
      describe: 'no pod of thirty pools',
    });
  } finally {
    await kubectl.run(['delete', 'namespace', ...tenants, '--timeout=180s'], { timeoutMs: 190_000 });
  }
}, 900_000);
