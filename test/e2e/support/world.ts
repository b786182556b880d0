import { readFile } from 'node:fs/promises';
import { inject } from 'vitest';
import { waitFor } from '../../support/wait-for.ts';
import { CheckedClient } from './checked-client.ts';
import { Kubectl, type KubeObject, readManifests } from './kubectl.ts';
import { PORTS, PROVIDER_POD } from './provider-pod.ts';

export const ROOT = new URL('../../../', import.meta.url);

/** What global-setup.ts installed. */
export interface Installed {
  kubeconfig: string;
  engine: 'bare' | 'kind' | 'named';
  url: string;
  image: string;
  customImage: string;
  release: string;
  /** Of the names of the release's objects. */
  prefix: string;
  /** Of the release. */
  systemNamespace: string;
  /** Of the jobs. */
  namespace: string;
  token: string;
}

declare module 'vitest' {
  export interface ProvidedContext {
    installed: Installed;
  }
}

export interface World {
  installed: Installed;
  /** In the namespace of the jobs. */
  kubectl: Kubectl;
  /** In the namespace of the release. */
  system: Kubectl;
  /** The same in the namespace of another tenant; clients stay those of the first. */
  in(namespace: string): World;
  /** Pods of API or controller, as a selector. */
  podsOf(component: 'api' | 'controller'): string;
  /** A new client, which knows nothing of the jobs of others. */
  client(): CheckedClient;
  /** A pool for the type `greet`, from the example, with changes to its spec. */
  greeters(spec?: object): Promise<void>;
  /** The examples' pool for a shipped type, under the type's name, with the image under test and changes to its spec. */
  shippedPool(type: string, spec?: object): Promise<void>;
  /** The command line, in a pod of the API; answers what it prints. */
  longshore(...args: string[]): Promise<string>;
  /** Calls a stand-in for a provider, through the pod's port for tests. */
  provider<Answer>(path: string): Promise<Answer>;
  replicas(pool: string): Promise<number>;
  /** The pods of a pool, as a selector. */
  poolPods(pool: string): string;
  /** Fails with the rules of `longshore audit` that do not hold, if any. */
  audit(): Promise<void>;
}

export function useWorld(): World {
  const installed = inject('installed');
  return worldOf(installed, installed.namespace);
}

function worldOf(installed: Installed, namespace: string): World {
  const system = new Kubectl(installed.kubeconfig, installed.systemNamespace);
  const kubectl = system.in(namespace);
  const poolPods = (pool: string) => `longshore.dev/pool=${pool}`;
  return {
    installed,
    kubectl,
    system,
    in: (tenant) => worldOf(installed, tenant),
    podsOf: (component) =>
      `app.kubernetes.io/instance=${installed.release},app.kubernetes.io/component=${component}`,
    client: () => new CheckedClient(installed.url, installed.token),
    async greeters(spec = {}) {
      const [pool] = await readExample('custom-worker/pool.yaml');
      const merged = { ...pool, spec: { ...pool?.spec, image: installed.customImage, ...spec } };
      await kubectl.apply(merged);
      await kubectl.waitFor('condition=Ready', 'workerpool/greeters', 60);
    },
    async shippedPool(type, spec = {}) {
      const files = ['kubernetes/worker-pool.yaml', 'kubernetes/worker-pools.yaml'];
      const pools = (await Promise.all(files.map(readExample))).flat();
      const pool = pools.find((each) =>
        (each.spec.types as { name: string }[]).some(({ name }) => name === type),
      );
      const own = { image: installed.image, cooldownSeconds: 10, maxReplicas: 2, ...spec };
      await kubectl.apply({ ...pool, metadata: { name: type }, spec: { ...pool?.spec, ...own } });
      await kubectl.waitFor('condition=Ready', `workerpool/${type}`, 60);
    },
    longshore: (...args) =>
      system.run(['exec', `service/${installed.prefix}-api`, '--', 'longshore', ...args]),
    async provider(path) {
      const code = `console.log(await (await fetch('http://127.0.0.1:${PORTS.control}${path}')).text())`;
      const command = ['node', '--input-type=module', '--eval', code];
      return JSON.parse(await system.in(installed.namespace).run(['exec', PROVIDER_POD, '--', ...command]));
    },
    replicas: async (pool) => (await kubectl.list('pods', poolPods(pool))).length,
    poolPods,
    audit: () => audit(system, installed.prefix),
  };
}

export async function readExample(path: string): Promise<KubeObject[]> {
  return readManifests(await readFile(new URL(`examples/${path}`, ROOT), 'utf8')) as KubeObject[];
}

interface Finding {
  invariant: string;
  what: string;
  verdict: string;
  examples: string[];
}

async function audit(system: Kubectl, prefix: string): Promise<void> {
  const command = ['exec', `service/${prefix}-api`, '--', 'longshore', 'audit', '--json'];
  // It exits with 1 when something is broken, and says what on its output; a pod may be on its way out.
  const text = await waitFor(() => system.run(command).catch(printed), {
    timeoutMs: 60_000,
    describe: 'the audit of the ledger',
  });
  const broken = (JSON.parse(text) as Finding[]).filter(({ verdict }) => verdict === 'broken');
  if (broken.length > 0) {
    throw new Error(
      `The ledger is broken:\n${broken.map((f) => `${f.invariant}: ${f.what} ${f.examples}`).join('\n')}`,
    );
  }
}

function printed(error: Error): string {
  const { stdout = '' } = error.cause as { stdout?: string };
  if (!stdout.trimStart().startsWith('[')) throw error;
  return stdout;
}
