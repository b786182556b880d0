import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { useKinds } from '../support/kinds.ts';

const RBAC = fileURLToPath(new URL('../../k8s/rbac', import.meta.url));

const kinds = useKinds('rbac', { ownServer: true });
const OTHER = 'kube-system';

interface Role {
  rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
}

const controller = () => `system:serviceaccount:${kinds.namespace}:longshore-controller`;

/** @param resource - `kind.group`, `kind.group/name` or `kind.group:subresource`. */
async function canI(
  user: string,
  verb: string,
  resource: string,
  namespace = kinds.namespace,
): Promise<boolean> {
  // kubectl takes what follows a "/" for a name.
  const [kind = '', subresource] = resource.split(':');
  const suffix = subresource === undefined ? [] : [`--subresource=${subresource}`];
  try {
    const answer = await kinds.kubectl([
      '-n',
      namespace,
      'auth',
      'can-i',
      verb,
      kind,
      ...suffix,
      `--as=${user}`,
    ]);
    return answer.trim() === 'yes';
  } catch (error) {
    // kubectl says no with exit code 1 and "no" on its standard output.
    if ((error as { stdout?: string }).stdout?.trim().startsWith('no')) return false;
    throw error;
  }
}

beforeAll(async () => {
  const { kubectl, namespace } = kinds;
  await kubectl(['-n', namespace, 'apply', '-f', RBAC]);
  const bind = async (name: string, role: string, subject: string) => {
    await kubectl(['-n', namespace, 'create', 'rolebinding', name, role, subject]);
  };
  const account = `--serviceaccount=${namespace}:longshore-controller`;
  await bind('user', '--clusterrole=longshore-user', '--user=uma');
  await bind('admin', '--clusterrole=longshore-admin', '--user=ada');
  await bind('controller', '--clusterrole=longshore-controller', account);
  await bind('controller-lease', '--role=longshore-controller', account);
});

describe('longshore-user', () => {
  test.each([
    ['create', 'queuejobs.longshore.dev', true],
    ['patch', 'queuejobs.longshore.dev', true],
    ['delete', 'queuejobs.longshore.dev', true],
    ['watch', 'jobschedules.longshore.dev', true],
    ['update', 'jobschedules.longshore.dev', true],
    ['patch', 'queuejobs.longshore.dev:status', false],
    ['update', 'jobschedules.longshore.dev:status', false],
    ['get', 'workerpools.longshore.dev', false],
    ['create', 'workerpools.longshore.dev', false],
    ['create', 'pods', false],
    ['get', 'secrets', false],
    ['create', 'rolebindings.rbac.authorization.k8s.io', false],
  ])('%s %s: %s', async (verb, resource, allowed) => {
    expect(await canI('uma', verb, resource)).toBe(allowed);
  });

  test('nothing in another namespace', async () => {
    expect(await canI('uma', 'create', 'queuejobs.longshore.dev', OTHER)).toBe(false);
    expect(await canI('uma', 'list', 'queuejobs.longshore.dev', OTHER)).toBe(false);
  });

  test('a job, but neither its status nor a pool, with real calls', async () => {
    const as = ['-n', kinds.namespace, '--as=uma'];
    const job = `{apiVersion: longshore.dev/v1alpha1, kind: QueueJob, metadata: {name: mine}, spec: {type: a}}`;
    await kinds.kubectl([...as, 'create', '-f', '-'], job);
    const status = ['patch', 'qj', 'mine', '--subresource=status', '--type=merge', '-p'];
    const forged = kinds.kubectl([...as, ...status, '{"status":{"phase":"Succeeded"}}']);
    await expect(forged).rejects.toThrow('resource "queuejobs/status" in API group');
    const pool = `{apiVersion: longshore.dev/v1alpha1, kind: WorkerPool, metadata: {name: mine}, spec: {image: a, types: [{name: a}]}}`;
    await expect(kinds.kubectl([...as, 'create', '-f', '-'], pool)).rejects.toThrow(
      'cannot create resource "workerpools"',
    );
    await kinds.kubectl(['-n', kinds.namespace, '--as=ada', 'create', '-f', '-'], pool);
  });

  test('a status in a manifest is dropped', async () => {
    const forged = `{apiVersion: longshore.dev/v1alpha1, kind: QueueJob, metadata: {name: forged}, spec: {type: a}, status: {phase: Succeeded}}`;
    const as = ['-n', kinds.namespace, '--as=uma'];
    await kinds.kubectl([...as, 'create', '-f', '-'], forged);
    expect(await kinds.kubectl([...as, 'get', 'qj', 'forged', '-o', 'jsonpath={.status}'])).toBe('');
  });
});

test.each([
  ['create', 'workerpools.longshore.dev', true],
  ['patch', 'workerpools.longshore.dev:status', false],
  ['create', 'queuejobs.longshore.dev', false],
  ['create', 'deployments.apps', false],
  ['get', 'secrets', false],
])('longshore-admin: %s %s: %s', async (verb, resource, allowed) => {
  expect(await canI('ada', verb, resource)).toBe(allowed);
});

describe('longshore-controller', () => {
  test.each([
    ['create', 'queuejobs.longshore.dev', true],
    ['patch', 'queuejobs.longshore.dev:status', true],
    ['delete', 'queuejobs.longshore.dev', true],
    ['patch', 'deployments.apps', true],
    ['create', 'leases.coordination.k8s.io', true],
    ['update', 'leases.coordination.k8s.io/longshore-controller', true],
    ['update', 'leases.coordination.k8s.io/kube-scheduler', false],
    ['list', 'leases.coordination.k8s.io', false],
    ['list', 'secrets', false],
    ['watch', 'secrets', false],
    ['create', 'pods', false],
    ['create', 'pods:exec', false],
    ['create', 'workerpools.longshore.dev', true],
    ['delete', 'workerpools.longshore.dev', false],
    ['delete', 'jobschedules.longshore.dev', false],
    ['deletecollection', 'queuejobs.longshore.dev', false],
    ['impersonate', 'users', false],
    ['list', 'nodes', false],
    ['escalate', 'roles.rbac.authorization.k8s.io', false],
    ['bind', 'clusterroles.rbac.authorization.k8s.io', false],
  ])('%s %s: %s', async (verb, resource, allowed) => {
    expect(await canI(controller(), verb, resource)).toBe(allowed);
  });

  test('no grant has a wildcard', async () => {
    for (const name of ['user', 'admin', 'controller']) {
      const documents = parseAllDocuments(await readFile(`${RBAC}/longshore-${name}.yaml`, 'utf8'));
      for (const { rules } of documents.map((document) => document.toJS() as Role)) {
        expect(rules.flatMap((rule) => [...rule.apiGroups, ...rule.resources, ...rule.verbs])).not.toContain(
          '*',
        );
      }
    }
  });
});
