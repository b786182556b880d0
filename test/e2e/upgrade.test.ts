import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findHelm } from '../../hack/helm.ts';
import { ROOT, useWorld } from './support/world.ts';

const world = useWorld();
const { installed } = world;

beforeAll(() => world.greeters({ concurrency: 5, maxReplicas: 2, cooldownSeconds: 30 }));
afterAll(() => world.audit());

test('the release is upgraded under load, and no job is lost', async () => {
  const client = world.client();
  const helm = await findHelm();
  let upgraded = false;
  const submitMeanwhile = async () => {
    while (!upgraded) await client.submit({ type: 'greet', input: { name: 'x', seconds: 1 } });
  };
  const upgrade = async () => {
    const chart = fileURLToPath(new URL('charts/longshore', ROOT));
    // An annotation of the pods rolls every one of them.
    const args = ['--reuse-values', '--wait', '--timeout', '4m', '--set', 'api.podAnnotations.rolled=true'];
    await promisify(execFile)(
      helm,
      [
        'upgrade',
        installed.release,
        chart,
        '--namespace',
        installed.systemNamespace,
        ...args,
        '--set',
        'controller.podAnnotations.rolled=true',
      ],
      { env: { ...process.env, KUBECONFIG: installed.kubeconfig } },
    ).finally(() => {
      upgraded = true;
    });
  };
  await Promise.all([upgrade(), submitMeanwhile()]);
  expect(client.told.size).toBeGreaterThan(10);
  expect(await client.ends()).toEqual({ SUCCESS: client.told.size });
});
