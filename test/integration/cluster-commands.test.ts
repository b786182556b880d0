import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { CANCEL_JOB_FINALIZER, DRAIN_POOL_FINALIZER } from '../../src/core/kinds/meta.ts';
import { useKinds } from '../support/kinds.ts';
import { sharedKubeApiserver } from '../support/kube-apiserver.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const kinds = useKinds('commands');

async function longshore(args: string[], token?: string): Promise<string> {
  const { kubeconfigPath } = await sharedKubeApiserver();
  const env = { PATH: process.env.PATH, LONGSHORE_KUBECONFIG: token ?? kubeconfigPath };
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args], { env, timeout: 60_000 });
  return stdout;
}

async function json<Shape>(args: string[]): Promise<Shape> {
  return JSON.parse(await kinds.kubectl([...args, '-o', 'json'])) as Shape;
}

interface Held {
  metadata: { name: string; finalizers?: string[] };
}

test('crds print prints what the repository has', async () => {
  const printed = parseAllDocuments(await longshore(['crds', 'print'])).map((document) => document.toJS());
  const names = printed.map(({ metadata }) => metadata.name);
  expect(names).toEqual([
    'queuejobs.longshore.dev',
    'workerpools.longshore.dev',
    'jobschedules.longshore.dev',
  ]);
});

test('crds apply changes kinds that another manager installed, and may be repeated', async () => {
  const name = 'jobschedules.longshore.dev';
  const columns = async () => {
    const crd = await json<{ spec: { versions: { additionalPrinterColumns?: { name: string }[] }[] } }>([
      'get',
      'crd',
      name,
    ]);
    return crd.spec.versions[0]?.additionalPrinterColumns?.map((column) => column.name);
  };
  const before = await columns();
  const old = [{ op: 'replace', path: '/spec/versions/0/additionalPrinterColumns', value: [] }];
  await kinds.kubectl([
    'patch',
    'crd',
    name,
    '--type=json',
    '-p',
    JSON.stringify(old),
    '--field-manager=helm',
  ]);
  expect(await columns()).toBeUndefined();
  for (let round = 0; round < 2; round += 1) {
    expect(await longshore(['crds', 'apply'])).toContain(`Applied ${name}\n`);
    expect(await columns()).toEqual(before);
  }
});

test('finalizers remove takes ours away, and leaves those of others', async () => {
  const { namespace, kubectl } = kinds;
  const metadata = (name: string, finalizers: string[]) => ({ name, namespace, finalizers });
  const apiVersion = 'longshore.dev/v1alpha1';
  const objects = [
    { apiVersion, kind: 'QueueJob', metadata: metadata('held', [CANCEL_JOB_FINALIZER]), spec: { type: 'a' } },
    {
      apiVersion,
      kind: 'QueueJob',
      metadata: metadata('shared', ['example.org/mine', CANCEL_JOB_FINALIZER]),
      spec: { type: 'a' },
    },
    {
      apiVersion,
      kind: 'WorkerPool',
      metadata: metadata('pool', [DRAIN_POOL_FINALIZER]),
      spec: { image: 'a', types: [{ name: 'a' }] },
    },
  ];
  await kubectl(['create', '-f', '-'], objects.map((object) => JSON.stringify(object)).join('\n'));
  await kubectl(['-n', namespace, 'delete', 'queuejob', 'held', '--wait=false']);

  const output = await longshore(['finalizers', 'remove', '--namespace', namespace]);
  expect(output).toContain('from 2 queuejobs');
  expect(output).toContain('from 1 workerpools');
  const { items } = await json<{ items: Held[] }>(['-n', namespace, 'get', 'queuejobs,workerpools']);
  // The one that was to be deleted is gone.
  expect(items.map((item) => [item.metadata.name, item.metadata.finalizers])).toEqual([
    ['shared', ['example.org/mine']],
    ['pool', undefined],
  ]);
  expect(await longshore(['finalizers', 'remove', '--namespace', namespace])).toContain('from 0 queuejobs');
});

test('finalizers remove stops the controller first, and waits for the end of its pods', async () => {
  const { namespace, kubectl } = kinds;
  const labels = { app: 'controller' };
  const container = { name: 'a', image: 'a' };
  const spec = { containers: [container] };
  const objects = [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'controller', namespace },
      spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    },
    // Nothing makes pods of Deployments here, so this one is made by hand, and ends by hand.
    { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'leader', namespace, labels }, spec },
  ];
  await kubectl(['apply', '-f', '-'], objects.map((object) => JSON.stringify(object)).join('\n'));
  const stop = ['finalizers', 'remove', '--namespace', namespace, '--stop', `${namespace}/controller`];
  await expect(longshore([...stop, '--timeout', '3'])).rejects.toThrow('timeout');
  const deployment = await json<{ spec: { replicas: number } }>([
    '-n',
    namespace,
    'get',
    'deployment',
    'controller',
  ]);
  expect(deployment.spec.replicas).toBe(0);
  await kubectl(['-n', namespace, 'delete', 'pod', 'leader', '--grace-period=0', '--force']);
  expect(await longshore(stop)).toContain('from 0 queuejobs');
});

test('a controller that is not there has stopped', async () => {
  const stop = ['finalizers', 'remove', '-n', kinds.namespace, '--stop', `${kinds.namespace}/nowhere`];
  expect(await longshore(stop)).toContain('from 0 workerpools');
});
