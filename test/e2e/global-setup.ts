import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { provideCustomImage, provideImage } from '../../hack/cluster/provide-image.ts';
import { findTarget, type Target } from '../../hack/cluster/target.ts';
import { findHelm } from '../../hack/helm.ts';
import { Kubectl } from './support/kubectl.ts';
import { PROVIDER_FILES, providerManifests } from './support/provider-pod.ts';

const ROOT = join(import.meta.dirname, '../..');
const RELEASE = 'e2e';
const NODE_PORT = 30081;

/**
 * Installs the chart as a newcomer would, `--wait --atomic` with the bundled databases, into namespaces of its own in
 * the local cluster or in the one that CONTEXT names, and takes all of it away at the end (unless E2E_KEEP is set).
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const target = findTarget();
  const systemNamespace = 'longshore-e2e';
  const namespace = 'longshore-e2e-jobs';
  const helm = await findHelm();
  const system = new Kubectl(target.kubeconfig, systemNamespace);
  const run = (args: string[]) =>
    execFileSync(helm, ['--namespace', systemNamespace, ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, KUBECONFIG: target.kubeconfig },
    });
  const remove = async () => {
    run(['uninstall', RELEASE, '--ignore-not-found', '--wait', '--timeout', '3m']);
    const options = ['--ignore-not-found', '--timeout=120s'];
    await system.run(['delete', 'namespace', namespace, systemNamespace, ...options], { timeoutMs: 130_000 });
  };
  await refuseASecondRelease(system, systemNamespace);
  const image = provideImage(target);
  const reference = `${image.repository}:${image.tag}`;
  const customImage = provideCustomImage(target, reference, join(ROOT, 'examples/custom-worker'));
  // What an interrupted run left; its volumes are offered again.
  await remove();
  const again = findTarget();
  await makeNamespaces(system, [systemNamespace, namespace]);
  await system.in(namespace).apply(...providerManifests(reference, readProviderFiles()));
  run(['install', RELEASE, join(ROOT, 'charts/longshore'), ...installArgs(again, image, namespace)]);
  const token = await system.run([
    ...['exec', `deployment/${RELEASE}-longshore-api`, '--', 'longshore', 'api-key', 'create', 'e2e'],
    ...['--namespace', namespace, '--scopes', 'submit,read,admin'],
  ]);
  project.provide('installed', {
    kubeconfig: target.kubeconfig,
    engine: target.engine,
    url: process.env.E2E_URL ?? `http://127.0.0.1:${NODE_PORT}`,
    image: reference,
    customImage,
    release: RELEASE,
    prefix: `${RELEASE}-longshore`,
    systemNamespace,
    namespace,
    token,
  });
  return async () => {
    if (process.env.E2E_KEEP === undefined) await remove();
  };
}

/** Another Longshore that serves the whole cluster would take this one's jobs, and this one those of that. */
async function refuseASecondRelease(system: Kubectl, ours: string): Promise<void> {
  const text = await system.run([
    ...['get', 'deployments', '--all-namespaces', '--selector', 'app.kubernetes.io/name=longshore'],
    ...['--output', 'jsonpath={range .items[*]}{.metadata.namespace}{"\\n"}{end}'],
  ]);
  const other = text.split('\n').find((name) => name !== '' && name !== ours);
  if (other !== undefined) {
    throw new Error(
      `Namespace ${other} has a Longshore already: helm uninstall it first, or use another cluster`,
    );
  }
}

async function makeNamespaces(system: Kubectl, names: string[]): Promise<void> {
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await system.apply(
    ...names.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } })),
  );
}

function installArgs(
  target: Target,
  image: { repository: string; tag: string },
  namespace: string,
): string[] {
  const provider = `http://etherscan.${namespace}.svc:8080`;
  const values = {
    'image.repository': image.repository,
    'image.tag': image.tag,
    'api.replicas': '2',
    'api.service.nodePort': String(NODE_PORT),
    'defaultPools.enabled': 'false',
    'config.LONGSHORE_ETHERSCAN_URL': `${provider}/v2/api`,
  };
  const files = ['values-dev.yaml', ...(target.engine === 'bare' ? ['values-bare.yaml'] : [])];
  return [
    ...['--wait', '--atomic', '--timeout', '5m'],
    ...files.flatMap((file) => ['--values', join(ROOT, 'hack/cluster', file)]),
    ...Object.entries(values).flatMap(([key, value]) => ['--set', `${key}=${value}`]),
  ];
}

function readProviderFiles(): Record<string, string> {
  return Object.fromEntries(PROVIDER_FILES.map((path) => [path, readFileSync(join(ROOT, path), 'utf8')]));
}
