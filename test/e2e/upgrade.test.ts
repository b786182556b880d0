import { afterAll, beforeAll, expect, test } from 'vitest';
import { helm, upgrade } from './support/release.ts';
import { useWorld } from './support/world.ts';

const world = useWorld();
const { kubectl, installed } = world;
const CRD = 'customresourcedefinition/queuejobs.longshore.dev';

beforeAll(() => world.greeters({ concurrency: 5, maxReplicas: 2, cooldownSeconds: 30 }));
afterAll(() => world.audit());

/** Every one of the release's pods is rolled, by an annotation. */
const roll = (revision: string) =>
  upgrade(installed, { 'api.podAnnotations.rolled': revision, 'controller.podAnnotations.rolled': revision });

const job = (name: string) => ({
  apiVersion: 'longshore.dev/v1alpha1',
  kind: 'QueueJob',
  metadata: { name },
  spec: { type: 'greet', input: { name }, suspend: false },
});

test('the installation passes its own test', async () => {
  expect(await helm(installed, 'test', installed.release, '--timeout', '2m')).toMatch(/Phase:\s+Succeeded/);
});

test('an upgrade brings the kinds of its chart, which Helm itself never changes', async () => {
  // What an older chart would have installed: a kind without one of today's fields.
  const field = '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/suspend';
  const patch = JSON.stringify([{ op: 'remove', path: field }]);
  await kubectl.run(['patch', CRD, '--type=json', '--patch', patch]);
  await expect(kubectl.apply(job('too-new'))).rejects.toThrow(/unknown field "spec.suspend"/);
  await roll('kinds');
  await kubectl.apply(job('new-enough'));
  await kubectl.waitFor('condition=Finished', 'queuejob/new-enough', 120);
});

test('the release is upgraded under load, and no job is lost', async () => {
  const client = world.client();
  const upgrading = new AbortController();
  const workMeanwhile = async () => {
    while (!upgrading.signal.aborted) {
      await client.ended(await client.submit({ type: 'greet', input: { name: 'x', seconds: 1 } }));
    }
  };
  const clients = Array.from({ length: 8 }, workMeanwhile);
  await Promise.all([roll('under-load').finally(() => upgrading.abort()), ...clients]);
  expect(client.told.size).toBeGreaterThan(10);
  expect(await client.ends()).toEqual({ SUCCESS: client.told.size });
});
