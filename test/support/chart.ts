import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments, stringify } from 'yaml';
import { findHelm } from '../../hack/helm.ts';

export const CHART = fileURLToPath(new URL('../../charts/longshore', import.meta.url));

/** Enough for the chart to render: both stores bundled. */
export const TRIAL = { postgresql: { enabled: true }, redis: { enabled: true } };
/** Both stores elsewhere. */
export const EXTERNAL = { postgresql: { existingSecret: 'ledger' }, redis: { existingSecret: 'queue' } };

export interface EnvVar {
  name: string;
  value: string;
  valueFrom: { secretKeyRef: { name: string; key: string; optional?: boolean } };
}

export interface Container {
  name: string;
  image: string;
  args: string[];
  env: EnvVar[];
  volumeMounts: { name: string; mountPath: string }[];
  [probe: `${string}Probe`]: { httpGet: { path: string } };
}

export interface PodSpec {
  automountServiceAccountToken?: boolean;
  enableServiceLinks?: boolean;
  serviceAccountName: string;
  containers: Container[];
  volumes: object[];
  topologySpreadConstraints: { topologyKey: string; labelSelector: object }[];
}

export interface PodTemplate {
  metadata: { labels: Record<string, string>; annotations?: Record<string, string> };
  spec: PodSpec;
}

/**
 * A rendered object. Its kind decides which of the fields it has; tests know, and one that asks a kind for what it has
 * not fails.
 */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; annotations?: Record<string, string> };
  data: Record<string, string>;
  stringData: Record<string, string>;
  rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
  spec: {
    replicas: number;
    template: PodTemplate;
    image: string;
    maxReplicas: number;
    ports: { port: number }[];
    hard: Record<string, string>;
    volumeClaimTemplates: { spec: object }[];
    podSelector: object;
    ingress: { from?: object[]; ports: { port: string }[] }[];
    egress: object[];
  };
}

export interface Rendered {
  all: Manifest[];
  text: string;
  /** The one of this kind and name. */
  get(kind: string, name: string): Manifest;
  of(kind: string): Manifest[];
  /** `Kind/name` of all, in order. */
  names: string[];
}

/** Without a cluster Helm takes a version of its own for that of Kubernetes; one built from its module a very old one. */
const ANY_CLUSTER = ['--kube-version', '1.34.0'];

export interface RenderOptions {
  release?: string;
  namespace?: string;
}

/** Runs Helm with values, on a cluster when given one; rejects with what it wrote to its standard error. */
export async function helm(command: string[], values?: object, kubeconfig?: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'longshore-chart-'));
  try {
    const file = join(folder, 'values.yaml');
    await writeFile(file, stringify(values ?? {}));
    const given = values === undefined ? [] : ['--values', file];
    const path = await findHelm();
    const { stdout } = await promisify(execFile)(path, [...command, ...given], {
      timeout: 60_000,
      maxBuffer: 16 * 1_024 * 1_024,
      // Nothing of the machine's own configuration.
      env: { PATH: process.env.PATH, HOME: folder, KUBECONFIG: kubeconfig ?? join(folder, 'none') },
    });
    return stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** `helm template`, parsed. */
export async function renderChart(values: object = TRIAL, options: RenderOptions = {}): Promise<Rendered> {
  const { release = 'longshore', namespace = 'harbour' } = options;
  const text = await helm(['template', release, CHART, '--namespace', namespace, ...ANY_CLUSTER], values);
  const all = parseAllDocuments(text).flatMap((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    const manifest = document.toJS() as Manifest | null;
    return manifest === null ? [] : [manifest];
  });
  return {
    all,
    text,
    names: all.map(({ kind, metadata }) => `${kind}/${metadata.name}`),
    of: (kind) => all.filter((manifest) => manifest.kind === kind),
    get(kind, name) {
      return only(all.filter((manifest) => manifest.kind === kind && manifest.metadata.name === name));
    },
  };
}

/** The one item of a list that has one. */
export function only<Item>(items: readonly Item[]): Item {
  const [item] = items;
  if (item === undefined || items.length > 1) throw new Error(`There are ${items.length} instead of one`);
  return item;
}

/** The pods that the rendered objects make, with what makes them. */
export function podsOf({ all }: Rendered): ({ owner: string } & PodTemplate)[] {
  return all.flatMap((manifest) => {
    const owner = `${manifest.kind}/${manifest.metadata.name}`;
    if (manifest.kind === 'Pod') return [{ owner, ...(manifest as unknown as PodTemplate) }];
    const template: PodTemplate | undefined = manifest.spec?.template;
    return template === undefined ? [] : [{ owner, ...template }];
  });
}

/** The container of a workload. */
export function containerOf(workload: Manifest): Container {
  return only(workload.spec.template.spec.containers);
}

/** Environment variables of a container by their names. */
export function envOf(container: Container): ReadonlyMap<string, EnvVar> {
  return new Map(container.env.map((variable) => [variable.name, variable]));
}
