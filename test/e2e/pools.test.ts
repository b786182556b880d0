import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../support/wait-for.ts';
import { readExample, useWorld } from './support/world.ts';

const TENANT = 'longshore-e2e-mistakes';
const world = useWorld();
const { kubectl } = world.in(TENANT);
const { customImage } = world.installed;

beforeAll(() => kubectl.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: TENANT } }));
afterAll(async () => {
  await kubectl.run(['delete', 'namespace', TENANT, '--timeout=180s'], { timeoutMs: 190_000 });
  await world.audit();
});

async function pool(spec: object): Promise<void> {
  const [example] = await readExample('custom-worker/pool.yaml');
  await kubectl.apply({
    ...example,
    spec: { ...example?.spec, image: customImage, minReplicas: 1, ...spec },
  });
}

const refused = (reason: string, message: RegExp) =>
  waitFor(
    async () => (await kubectl.get('workerpool/greeters'))?.status?.conditions,
    (conditions) =>
      conditions?.some(
        (seen) =>
          seen.type === 'Ready' &&
          seen.status === 'False' &&
          seen.reason === reason &&
          message.test(seen.message),
      ) === true,
    { timeoutMs: 120_000, describe: `Ready=False, ${reason}, ${message}` },
  );

const small = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'small' } };

test('what is wrong with a pool is on the pool, and its jobs wait until it is repaired', async () => {
  await pool({ image: 'localhost/no-such-image:1' });
  const job = { apiVersion: 'longshore.dev/v1alpha1', kind: 'QueueJob', metadata: { name: 'patient' } };
  await kubectl.apply({ ...job, spec: { type: 'greet', input: { name: 'Ada' } } });
  await refused('ImagePullFailed', /check spec\.image/);

  const secretKeyRef = { name: 'no-such-secret', key: 'k' };
  await pool({ env: [{ name: 'KEY', valueFrom: { secretKeyRef } }] });
  await refused('ConfigMissing', /no-such-secret/);

  await kubectl.apply({ ...small, spec: { hard: { pods: '0' } } });
  await kubectl.run(['delete', 'pods', '--selector', world.poolPods('greeters'), '--wait=false']);
  await pool({});
  await refused('QuotaExceeded', /exceeded quota: small/);
  const waiting = await kubectl.get('queuejob/patient');
  expect(waiting?.status?.conditions?.some(({ type }) => type === 'Finished')).not.toBe(true);

  await kubectl.run(['delete', 'resourcequota', 'small']);
  await kubectl.waitFor('condition=Finished', 'queuejob/patient', 200);
  expect((await kubectl.get('queuejob/patient'))?.status?.phase).toBe('Succeeded');
  await kubectl.waitFor('condition=Ready', 'workerpool/greeters', 60);
});

test('a pool that could never be is refused by the API server, or says so', async () => {
  await expect(pool({ minReplicas: 5, maxReplicas: 2 })).rejects.toThrow(/minReplicas must not exceed/);
  await pool({ types: [{ name: 'no-such-type' }] });
  await refused('UnknownType', /no-such-type/);
});
