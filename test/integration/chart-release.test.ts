import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHART, EXTERNAL, helm, TRIAL } from '../support/chart.ts';
import { useKinds } from '../support/kinds.ts';

// Real releases on a real API server; nothing runs the pods, so nothing is waited for and hooks are left out.
const kinds = useKinds('release', { ownServer: true });

const release = (command: string, args: string[], values?: object) =>
  helm([command, 'trial', ...args, '--namespace', kinds.namespace], values, kinds.kubeconfigPath);

async function secretOf(name: string): Promise<Record<string, string>> {
  const text = await kinds.kubectl(['-n', kinds.namespace, 'get', 'secret', name, '-o', 'json']);
  return (JSON.parse(text) as { data: Record<string, string> }).data;
}

test('the notes say how to get a key and reach the API', async () => {
  const notes = async (values: object) => {
    const output = await release('install', [CHART, '--dry-run=server', '--skip-crds'], values);
    return output.slice(output.indexOf('NOTES:'));
  };
  expect(await notes(TRIAL)).toMatch(
    /longshore api-key create.*port-forward service\/trial-longshore-api.*for a trial/s,
  );
  const full = await notes({
    ...EXTERNAL,
    api: { ingress: { enabled: true, hosts: ['jobs.example.org'] }, adminKey: { existingSecret: 'key' } },
  });
  expect(full).toContain('http://jobs.example.org');
  expect(full).toContain('{{index .data "token" | base64decode}}');
  expect(full).not.toContain('for a trial');
});

describe('a release', () => {
  let installed: Record<string, string>;

  beforeAll(async () => {
    await release('install', [CHART, '--no-hooks'], TRIAL);
    installed = await secretOf('trial-longshore-postgresql');
  });

  afterAll(async () => {
    await release('uninstall', ['--no-hooks', '--ignore-not-found']);
  });

  test('keeps the passwords that it generated through upgrades', async () => {
    const redis = await secretOf('trial-longshore-redis');
    await release('upgrade', [CHART, '--no-hooks'], { ...TRIAL, image: { tag: 'next' } });
    expect(await secretOf('trial-longshore-postgresql')).toEqual(installed);
    expect(await secretOf('trial-longshore-redis')).toEqual(redis);
  });

  test('is migrated again by a new Job when its image is another', async () => {
    const jobs = async () =>
      (await kinds.kubectl(['-n', kinds.namespace, 'get', 'jobs', '-o', 'name'])).trim().split('\n');
    const before = await jobs();
    await release('upgrade', [CHART, '--no-hooks'], { ...TRIAL, image: { tag: 'later' } });
    const after = await jobs();
    expect([before.length, after.length]).toEqual([1, 1]);
    expect(after).not.toEqual(before);
  });

  test('leaves the password of its volume behind, and takes it up again', async () => {
    await release('uninstall', ['--no-hooks']);
    expect(await secretOf('trial-longshore-postgresql')).toEqual(installed);
    await release('install', [CHART, '--no-hooks'], TRIAL);
    expect(await secretOf('trial-longshore-postgresql')).toEqual(installed);
  });
});
