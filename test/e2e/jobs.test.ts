import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KNOWN } from '../support/fake-contracts.ts';
import { waitFor } from '../support/wait-for.ts';
import type { JobView } from './support/checked-client.ts';
import { ROOT, readExample, useWorld } from './support/world.ts';

const world = useWorld();
const { kubectl, installed } = world;
const client = world.client();

const job = (name: string, spec: object) => ({
  apiVersion: 'longshore.dev/v1alpha1',
  kind: 'QueueJob',
  metadata: { name },
  spec: { type: 'greet', input: { name }, ...spec },
});
const phase = async (name: string) => (await kubectl.get(`queuejob/${name}`))?.status?.phase;

beforeAll(async () => {
  await world.greeters();
  // The stand-in for Etherscan takes any key.
  const env = [{ name: 'ETHERSCAN_API_KEY', value: 'e2e' }];
  await world.shippedPool('image-convert');
  await world.shippedPool('contract-source', { env });
});

afterAll(() => world.audit());

describe('each type runs', () => {
  test('a contract that was posted', async () => {
    const { id } = await client.call<JobView>('POST', '/v1/contracts', { address: KNOWN.standard });
    expect(await client.ended(id)).toMatchObject({ status: 'SUCCESS' });
    const source = await client.call<{ files: object }>('GET', `/v1/contracts/1/${KNOWN.standard}/source`);
    expect(JSON.stringify(source)).toContain('HarbourToken');
  });

  test('a contract that was applied', async () => {
    await kubectl.apply(...(await readExample('kubernetes/contract-source.yaml')));
    await kubectl.waitFor('condition=Finished', 'queuejob/wrapped-ether', 120);
    expect(await phase('wrapped-ether')).toBe('Succeeded');
  });

  test('a photograph that was uploaded', async () => {
    const form = new FormData();
    form.set('file', new Blob([await readFile(new URL('examples/images/coffee.png', ROOT))]), 'coffee.png');
    form.set('format', 'webp');
    form.set('width', '200');
    const answer = await fetch(`${installed.url}/v1/images`, {
      method: 'POST',
      headers: { authorization: `Bearer ${installed.token}` },
      body: form,
    });
    expect(answer.status).toBe(201);
    const { id } = (await answer.json()) as JobView;
    expect(await client.ended(id)).toMatchObject({ status: 'SUCCESS' });
    const result = await fetch(`${installed.url}/v1/jobs/${id}/result`, {
      headers: { authorization: `Bearer ${installed.token}` },
    });
    expect(result.headers.get('content-type')).toBe('image/webp');
    expect(Buffer.from(await result.arrayBuffer()).toString('latin1', 8, 12)).toBe('WEBP');
  });

  test("a type of a user's own, in an image of their own", async () => {
    const id = await client.submit({ type: 'greet', input: { name: 'Ada' } });
    expect(await client.ended(id)).toMatchObject({ status: 'SUCCESS' });
    expect(await client.call('GET', `/v1/jobs/${id}/result`)).toEqual({ text: 'Hello, Ada!', attempt: 1 });
  });
});

test('a running job is cancelled by its owner', async () => {
  await kubectl.apply(job('cancelled', { input: { name: 'x', seconds: 300 } }));
  await waitFor(async () => (await phase('cancelled')) === 'Running', {
    timeoutMs: 60_000,
    describe: 'the job to run',
  });
  await kubectl.run(['patch', 'queuejob/cancelled', '--type=merge', '-p', '{"spec":{"cancel":true}}']);
  await kubectl.waitFor('condition=Finished', 'queuejob/cancelled');
  expect(await phase('cancelled')).toBe('Cancelled');
});

test('an attempt that fails is tried again', async () => {
  const id = await client.submit({ type: 'greet', input: { name: 'Bo', failures: 1 }, retries: 3 });
  expect(await client.ended(id)).toMatchObject({ status: 'SUCCESS' });
  expect(await client.call('GET', `/v1/jobs/${id}/result`)).toMatchObject({ attempt: 2 });
});

test('a finished QueueJob leaves when its time is up', async () => {
  await kubectl.apply(job('short-lived', { ttlSecondsAfterFinished: 3 }));
  await kubectl.waitFor('condition=Finished', 'queuejob/short-lived');
  await kubectl.waitFor('delete', 'queuejob/short-lived', 30);
});

test('a suspended job waits until it is resumed', async () => {
  await kubectl.apply(job('suspended', { suspend: true }), job('beside-it', {}));
  await kubectl.waitFor('condition=Finished', 'queuejob/beside-it');
  expect(await phase('suspended')).not.toBe('Succeeded');
  await kubectl.run(['patch', 'queuejob/suspended', '--type=merge', '-p', '{"spec":{"suspend":false}}']);
  await kubectl.waitFor('condition=Finished', 'queuejob/suspended');
  expect(await phase('suspended')).toBe('Succeeded');
});

test('a schedule fires', async () => {
  await kubectl.apply({
    apiVersion: 'longshore.dev/v1alpha1',
    kind: 'JobSchedule',
    metadata: { name: 'often' },
    spec: {
      every: '10s',
      jobTemplate: { type: 'greet', input: { name: 'clock' }, labels: { from: 'often' } },
    },
  });
  const done = await waitFor(
    async () => {
      const page = await client.call<{ jobs: JobView[] }>(
        'GET',
        '/v1/jobs?label=from%3Doften&status=SUCCESS',
      );
      return page.jobs.length >= 2;
    },
    { timeoutMs: 60_000, describe: 'two jobs of the schedule' },
  );
  expect(done).toBe(true);
  await kubectl.run(['delete', 'jobschedule/often']);
});

describe('a wrong manifest is refused by the API server', () => {
  test.each([
    ['a priority beyond its range', { priority: 1_000 }, /priority/],
    ['an unknown field', { shout: true }, /unknown field "spec.shout"/],
    ['a negative number of retries', { retries: -1 }, /retries/],
  ])('%s', async (_, spec, message) => {
    await expect(kubectl.apply(job('wrong', spec))).rejects.toThrow(message);
  });

  test('an input that the schema of its type refuses becomes a condition', async () => {
    await kubectl.apply(job('wrong-input', { input: { nam: 'x' } }));
    await kubectl.waitFor('condition=Accepted=False', 'queuejob/wrong-input');
    const conditions = (await kubectl.get('queuejob/wrong-input'))?.status?.conditions;
    expect(conditions).toContainEqual(expect.objectContaining({ type: 'Accepted', reason: 'InvalidInput' }));
  });
});

test('who may create QueueJobs in one namespace can do nothing else', async () => {
  await kubectl.run(['create', 'serviceaccount', 'pipeline']);
  const account = `${installed.namespace}:pipeline`;
  await kubectl.run([
    ...['create', 'rolebinding', 'pipeline', '--clusterrole', 'longshore-user'],
    ...['--serviceaccount', account],
  ]);
  const can = (verb: string, resource: string, of = kubectl) =>
    of.run(['auth', 'can-i', verb, ...resource.split(' '), '--as', `system:serviceaccount:${account}`]).then(
      () => true,
      () => false,
    );
  expect(await can('create', 'queuejobs.longshore.dev')).toBe(true);
  expect(await can('create', 'queuejobs.longshore.dev', world.system)).toBe(false);
  for (const resource of [
    'workerpools.longshore.dev',
    'pods',
    'secrets',
    'queuejobs.longshore.dev --subresource=status',
  ]) {
    expect(await can('create', resource), resource).toBe(false);
    expect(await can('get', resource), resource).toBe(false);
  }
});
