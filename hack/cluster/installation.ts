import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Kubectl } from '../../test/e2e/support/kubectl.ts';
import { findHelm } from '../helm.ts';
import { type ProvidedImage, provideCustomImage, provideImage } from './provide-image.ts';
import { findTarget, helmIn, type Target, valuesOf } from './target.ts';

const ROOT = join(import.meta.dirname, '../..');
/** One of those that kind-config.yaml maps to 127.0.0.1. */
const NODE_PORT = 30_080;

/** What there is before Longshore itself. */
export interface Site {
  /** In the namespace of the jobs. */
  kubectl: Kubectl;
  /** In the namespace of the release. */
  system: Kubectl;
  image: string;
}

export interface InstallOptions {
  /** Of the release. Its namespace is `longshore-<name>`, that of the jobs `longshore-<name>-jobs`. */
  name: string;
  /** Values of the chart beside those of hack/cluster/values-*.yaml. */
  values?: Readonly<Record<string, string | number>>;
  /** Of the API; one of those that kind-config.yaml maps to 127.0.0.1. Defaults to 30080. */
  nodePort?: number;
  /** Takes away what an earlier run left and installs as a newcomer would, all or nothing. Else that is upgraded. */
  fresh?: boolean;
  /** Makes what the release needs to find. */
  prepare?(site: Site): Promise<void>;
  /** Told what is being done; each may take minutes. */
  onStep?(what: string): void;
}

/** A Longshore of one's own in a cluster, for a demo, a measurement or tests. */
export interface Installation extends Site {
  target: Target;
  /** Of the API, from this machine. */
  url: string;
  /** An API key of the jobs' namespace with all scopes. */
  token: string;
  /** examples/custom-worker on top of it: the type `greet`. */
  customImage: string;
  /** Of the names of the release's objects. */
  prefix: string;
  namespace: string;
  systemNamespace: string;
  /** Takes pools, release and namespaces away; takes no harm from a second call. */
  remove(): void;
}

/**
 * Builds the images and installs the chart into namespaces of its own, with the bundled databases and no pools, in the
 * local cluster, which is started, or in the one that CONTEXT names. Throws where another Longshore serves the cluster:
 * it would take the jobs.
 */
export async function install(options: InstallOptions): Promise<Installation> {
  const step = options.onStep ?? (() => {});
  step('Starting the cluster');
  const target = findTarget();
  const systemNamespace = `longshore-${options.name}`;
  const namespace = `${systemNamespace}-jobs`;
  const system = new Kubectl(target.kubeconfig, systemNamespace);
  await refuseASecondRelease(system, systemNamespace);
  step('Building the images');
  const image = provideImage(target);
  const reference = `${image.repository}:${image.tag}`;
  const customImage = provideCustomImage(target, reference, join(ROOT, 'examples/custom-worker'));
  const helm = await findHelm();
  const remove = () => removeAll(target, helm, options.name);
  if (options.fresh === true) {
    step('Taking away what an earlier run left');
    remove();
    // The volumes that this released are offered again.
    findTarget();
  }
  try {
    step('Installing Longshore');
    const site = { system, kubectl: system.in(namespace), image: reference };
    await makeNamespaces(system, [systemNamespace, namespace]);
    await options.prepare?.(site);
    deploy(target, helm, image, options);
    const token = await createKey(system, options.name, namespace);
    return {
      ...{ ...site, target, token, customImage, namespace, systemNamespace, remove },
      url: process.env.API_URL ?? `http://127.0.0.1:${options.nodePort ?? NODE_PORT}`,
      prefix: prefixOf(options.name),
    };
  } catch (error) {
    remove();
    throw error;
  }
}

function prefixOf(name: string): string {
  return `${name}-longshore`;
}

async function refuseASecondRelease(system: Kubectl, ours: string): Promise<void> {
  const text = await system.run([
    ...['get', 'deployments', '--all-namespaces', '--selector', 'app.kubernetes.io/name=longshore'],
    ...['--output', 'jsonpath={range .items[*]}{.metadata.namespace}{"\\n"}{end}'],
  ]);
  const other = text.split('\n').find((found) => found !== '' && found !== ours);
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

function deploy(target: Target, helm: string, image: ProvidedImage, options: InstallOptions): void {
  const values = {
    'image.repository': image.repository,
    'image.tag': image.tag,
    'api.service.nodePort': options.nodePort ?? NODE_PORT,
    'defaultPools.enabled': 'false',
    ...options.values,
  };
  const { run, tries } = helmIn(target, helm, `longshore-${options.name}`);
  // A run that was killed may have left a release that Helm takes for one under way, and refuses to touch.
  if (!tries('status', options.name, '--output', 'json').includes('"status":"deployed"'))
    run('uninstall', options.name, '--ignore-not-found', '--wait', '--timeout', '3m');
  const how = options.fresh === true ? ['install', '--atomic'] : ['upgrade', '--install'];
  run(
    ...[...how, options.name, join(ROOT, 'charts/longshore'), '--wait', '--timeout', '5m'],
    ...valuesOf(target),
    ...Object.entries(values).flatMap(([key, value]) => ['--set', `${key}=${value}`]),
  );
}

function createKey(system: Kubectl, name: string, namespace: string): Promise<string> {
  return system.run([
    ...['exec', `service/${prefixOf(name)}-api`, '--', 'longshore', 'api-key', 'create', name],
    ...['--namespace', namespace, '--scopes', 'submit,read,admin'],
  ]);
}

/** Pools first: the controller drains them, and only then their namespace can end. */
function removeAll(target: Target, helm: string, name: string): void {
  const system = `longshore-${name}`;
  const kubectl = (...args: string[]) =>
    spawnSync('kubectl', ['--kubeconfig', target.kubeconfig, ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: 200_000,
    });
  kubectl('--namespace', `${system}-jobs`, 'delete', 'workerpools', '--all', '--timeout=90s');
  helmIn(target, helm, system).run('uninstall', name, '--ignore-not-found', '--wait', '--timeout', '3m');
  kubectl('delete', 'namespace', system, `${system}-jobs`, '--ignore-not-found', '--timeout=180s');
}
