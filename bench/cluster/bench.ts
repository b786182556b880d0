import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterReader } from '../../hack/cluster/cluster-reader.ts';
import type { Installation } from '../../hack/cluster/installation.ts';
import { JobsApi, type ListedJob } from '../../hack/cluster/job-listing.ts';
import { DEPLOYMENT, POD } from '../../src/core/pool-manifests/resources.ts';
import { createKubeClient, type KubeClient } from '../../src/kube/client.ts';
import { readManifests } from '../../test/e2e/support/kubectl.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { ROOT } from '../support.ts';
import type { PodObject, Workload } from './objects.ts';

/** One line of the result. */
export interface Row {
  what: string;
  target: string;
  measured: string;
  /** Null where there is no target. */
  met: boolean | null;
  /** The same as numbers, and whatever else explains them. */
  values: Record<string, unknown>;
}

/** Something that is measured, to be chosen by its name. */
export interface Measurement {
  name: string;
  /** What it answers, in a line. */
  about: string;
  run(bench: Bench): Promise<Row[]>;
}

/** The pool that measurements share; each sets it up for itself. */
export const POOL = 'greeters';
const SETTLE_MS = 180_000;

/** A Longshore in a cluster, and what measurements do with it. */
export class Bench {
  readonly installed: Installation;
  readonly kube: KubeClient;
  readonly reader: ClusterReader;
  readonly api: JobsApi;
  readonly signal: AbortSignal;
  readonly #results = new Map<string, Promise<unknown>>();

  constructor(installed: Installation, signal: AbortSignal) {
    this.installed = installed;
    this.signal = signal;
    const { kubeconfig } = installed.target;
    this.kube = createKubeClient({ kubeconfigPath: kubeconfig, fieldManager: 'longshore-bench' });
    this.reader = new ClusterReader(kubeconfig);
    this.api = new JobsApi(installed);
  }

  async close(): Promise<void> {
    await Promise.all([this.kube.close(), this.reader.close()]);
  }

  /** The same measurement serves several rows: it is made once in a run. */
  once<T>(name: string, measure: () => Promise<T>): Promise<T> {
    const known = this.#results.get(name) ?? measure();
    this.#results.set(name, known);
    return known as Promise<T>;
  }

  /** Sets the pool for `greet` up, and waits until it scales and has `minReplicas` ready pods of this spec. */
  async usePool(spec: { minReplicas?: number; [field: string]: unknown }): Promise<void> {
    const { kubectl, customImage } = this.installed;
    const text = readFileSync(join(ROOT, 'examples/custom-worker/pool.yaml'), 'utf8');
    const [example] = readManifests(text) as { spec: object }[];
    const resources = { requests: { cpu: '20m', memory: '96Mi' }, limits: { memory: '512Mi' } };
    const full = { ...example?.spec, image: customImage, cooldownSeconds: 10, resources, ...spec };
    await kubectl.run(['delete', `workerpool/${POOL}`, '--ignore-not-found', '--timeout=120s'], {
      timeoutMs: 130_000,
    });
    await kubectl.apply({ ...example, metadata: { name: POOL }, spec: full });
    await kubectl.waitFor('condition=Ready', `workerpool/${POOL}`, 120);
    await kubectl.waitFor('condition=ScalerReady', `workerpool/${POOL}`, 120);
    await this.podsReady(spec.minReplicas ?? 0);
  }

  /** Waits until so many pods are wanted, ready, and no others are left. */
  async podsReady(count: number, timeoutMs = SETTLE_MS): Promise<void> {
    await waitFor(
      async () => ({ ...(await this.scale()), pods: (await this.pods()).length }),
      ({ wanted, ready, pods }) => wanted === count && ready === count && pods === count,
      { timeoutMs, describe: `${count} pods of the pool` },
    );
  }

  async scale(): Promise<{ wanted: number; ready: number }> {
    const ref = { namespace: this.installed.namespace, name: `${POOL}-worker` };
    const { spec, status } = await this.kube.get<Workload>(DEPLOYMENT, ref);
    return { wanted: spec.replicas ?? 0, ready: status?.readyReplicas ?? 0 };
  }

  async pods(): Promise<PodObject[]> {
    const { namespace } = this.installed;
    const labelSelector = `longshore.dev/pool=${POOL}`;
    return (await this.kube.list<PodObject>(POD, { namespace, labelSelector })).items;
  }

  /** Posts one job; answers its id and when the answer was there. */
  async post(input: object, options: object = {}): Promise<{ id: string; answeredAtMs: number }> {
    const body = { type: 'greet', input: { name: 'Ada', ...input }, ...options };
    const { id } = await this.api.call<{ id: string }>('POST', '/v1/jobs', body);
    return { id, answeredAtMs: Date.now() };
  }

  /** Posts many at once, in batches. */
  async postMany(count: number, input: object, options: object = {}): Promise<void> {
    for (let sent = 0; sent < count; sent += 500) {
      const jobs = Array.from({ length: Math.min(500, count - sent) }, () => ({
        type: 'greet',
        input: { name: 'Ada', ...input },
        ...options,
      }));
      await this.api.call('POST', '/v1/jobs:batch', { jobs });
    }
  }

  /** Waits until no job is unfinished; answers all that were created since, the newest first. */
  async drained(sinceMs: number, timeoutMs: number): Promise<ListedJob[]> {
    await waitFor(
      () => sleep(250).then(() => this.api.isBusy()),
      (busy) => !busy,
      { timeoutMs, describe: 'the end of all jobs' },
    );
    return this.api.jobsSince(sinceMs);
  }

  /** Runs one statement in the ledger, as the bundled PostgreSQL's owner; answers its lines. */
  async sql(statement: string): Promise<string[]> {
    const { system, prefix } = this.installed;
    const text = await system.run([
      ...['exec', `${prefix}-postgresql-0`, '--', 'sh', '-c'],
      'PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -Atc "$0"',
      statement,
    ]);
    return text.split('\n').filter((line) => line !== '');
  }

  note(text: string): void {
    process.stderr.write(`  ${text}\n`);
  }
}

/** An end of each that is not a success would make figures of the rest worthless. */
export function requireSuccess(jobs: readonly ListedJob[], count: number): void {
  const failed = jobs.filter(({ status }) => status !== 'SUCCESS');
  if (failed.length > 0 || jobs.length !== count) {
    throw new Error(
      `${jobs.length} of ${count} jobs are known, and ${failed.length} of them did not end in SUCCESS, such as ${failed[0]?.id}`,
    );
  }
}

/** A number of the environment, for shorter runs. */
export function setting(name: string, standard: number): number {
  const value = Number(process.env[name] ?? standard);
  if (!(value > 0)) throw new Error(`${name} must be a number above 0`);
  return value;
}

export const fixed = (value: number, digits = 0): string =>
  value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits });
export const seconds = (ms: number): string => `${fixed(ms / 1_000, 2)} s`;
