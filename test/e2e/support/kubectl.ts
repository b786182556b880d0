import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

const execute = promisify(execFile);

export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
}

/** What tests read of an object. */
export interface KubeObject {
  kind: string;
  metadata: {
    name: string;
    uid: string;
    annotations?: Record<string, string>;
    deletionTimestamp?: string;
  };
  spec: { replicas?: number; holderIdentity?: string; [field: string]: unknown };
  status?: { phase?: string; readyReplicas?: number; conditions?: Condition[]; [field: string]: unknown };
}

/** kubectl on the cluster under test, in one namespace. Each call has a deadline. */
export class Kubectl {
  readonly #kubeconfig: string;
  readonly namespace: string;

  constructor(kubeconfig: string, namespace: string) {
    this.#kubeconfig = kubeconfig;
    this.namespace = namespace;
  }

  in(namespace: string): Kubectl {
    return new Kubectl(this.#kubeconfig, namespace);
  }

  /** Resolves with what it printed; rejects with what it said on its error stream. */
  async run(args: string[], { input = '', timeoutMs = 60_000 } = {}): Promise<string> {
    const running = execute('kubectl', ['--namespace', this.namespace, ...args], {
      env: { ...process.env, KUBECONFIG: this.#kubeconfig },
      maxBuffer: 64 * 1_024 * 1_024,
      timeout: timeoutMs,
    });
    running.child.stdin?.end(input);
    try {
      return (await running).stdout.trim();
    } catch (error) {
      const { stderr, message } = error as { stderr?: string; message: string };
      throw new Error(`kubectl ${args.join(' ')}: ${stderr?.trim() || message}`, { cause: error });
    }
  }

  apply(...manifests: object[]): Promise<string> {
    // As JSON: kubectl reads YAML 1.1, in which `no` is no text.
    const input = manifests.map((manifest) => JSON.stringify(manifest)).join('\n');
    return this.run(['apply', '--filename', '-'], { input });
  }

  /** Objects of a kind in the namespace. */
  async list(kind: string, selector = ''): Promise<KubeObject[]> {
    const text = await this.run(['get', kind, '--selector', selector, '--output', 'json']);
    return (JSON.parse(text) as { items: KubeObject[] }).items;
  }

  /** `kind/name`; undefined when there is none. */
  async get(name: string): Promise<KubeObject | undefined> {
    const text = await this.run(['get', name, '--ignore-not-found', '--output', 'json']);
    return text === '' ? undefined : (JSON.parse(text) as KubeObject);
  }

  /** As a person would wait: rejects with kubectl's words at the deadline. */
  async waitFor(condition: string, name: string, seconds = 60): Promise<void> {
    await this.run(['wait', `--for=${condition}`, name, `--timeout=${seconds}s`], {
      timeoutMs: (seconds + 10) * 1_000,
    });
  }

  /** Ends pods as a node's death would, or with the grace period that they ask for. */
  async deletePods(selector: string, { grace }: { grace: boolean }): Promise<string[]> {
    const pods = (await this.list('pods', selector)).map(({ metadata }) => metadata.name);
    if (pods.length === 0) return [];
    const how = grace ? ['--wait=false'] : ['--force', '--grace-period=0'];
    await this.run(['delete', 'pod', ...pods, '--ignore-not-found', ...how]);
    return pods;
  }
}

export function readManifests(text: string): object[] {
  return parseAllDocuments(text).map((document) => document.toJS() as object);
}
