import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type MetricSample, sumOf } from '../../hack/cluster/cluster-reader.ts';
import { QUEUE_JOB } from '../../src/core/kinds/queue-job.ts';
import { createKubeClient, type KubeClient } from '../../src/kube/client.ts';
import type { KubeObject, ResourceType } from '../../src/kube/resource-type.ts';
import { ROOT } from '../support.ts';
import type { Bench } from './bench.ts';

const WRITES = ['POST', 'PUT', 'PATCH', 'APPLY', 'DELETE', 'DELETECOLLECTION'];
/** Of the bare cluster's etcd; others keep theirs to themselves. */
const ETCD_METRICS = 'http://127.0.0.1:12379/metrics';

/** Writes since the API server started. */
export interface Writes {
  /** Of QueueJobs and their status, by `VERB` or `VERB/status`. */
  queueJobs: Record<string, number>;
  /** Of everything else, by `resource VERB`. */
  others: Record<string, number>;
}

export async function readWrites(bench: Bench): Promise<Writes> {
  const samples = await bench.reader.metrics('apiserver_request_total');
  const writes: Writes = { queueJobs: {}, others: {} };
  for (const { labels, value } of samples) {
    const { verb = '', resource = '', subresource = '', group = '' } = labels;
    if (!WRITES.includes(verb)) continue;
    const full = subresource === '' ? resource : `${resource}/${subresource}`;
    const ours = resource === QUEUE_JOB.plural && group === QUEUE_JOB.group;
    const [into, key] = ours
      ? [writes.queueJobs, subresource === '' ? verb : `${verb}/${subresource}`]
      : [writes.others, `${full} ${verb}`];
    into[key] = (into[key] ?? 0) + value;
  }
  return writes;
}

/** What was written between two readings; what was not is left out. */
export function differences(
  before: Record<string, number>,
  after: Record<string, number>,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after)
      .map(([key, value]): [string, number] => [key, value - (before[key] ?? 0)])
      .filter(([, value]) => value !== 0)
      .toSorted(([, a], [, b]) => b - a),
  );
}

export function total(counts: Record<string, number>): number {
  return Object.values(counts).reduce((sum, value) => sum + value, 0);
}

interface Storage {
  bytes: number;
  /** Of which metric. */
  source: string;
}

/** What etcd has in use; where it does not show its metrics, the size of its file as the API server knows it. */
export async function readStorage(bench: Bench): Promise<Storage> {
  const name = 'etcd_mvcc_db_total_size_in_use_in_bytes';
  const text = await fetch(ETCD_METRICS, { signal: AbortSignal.timeout(5_000) }).then(
    (answer) => answer.text(),
    () => '',
  );
  const value = new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1];
  if (value !== undefined) return { bytes: Number(value), source: name };
  const fallback = 'apiserver_storage_size_bytes';
  const samples: MetricSample[] = await bench.reader.metrics(fallback);
  return { bytes: sumOf(samples, fallback), source: fallback };
}

interface CountedList {
  metadata: { remainingItemCount?: number };
  items: object[];
}

/** How many QueueJobs there are in the namespace of the jobs, and how large the first few are as JSON. */
export async function countQueueJobs(bench: Bench): Promise<{ count: number; largestBytes: number }> {
  const path = `/apis/${QUEUE_JOB.group}/${QUEUE_JOB.version}/namespaces/${bench.installed.namespace}/queuejobs`;
  const list = await bench.kube.request<CountedList>({ method: 'GET', path, query: { limit: 5 } });
  return {
    count: list.items.length + (list.metadata.remainingItemCount ?? 0),
    largestBytes: Math.max(0, ...list.items.map((item) => Buffer.byteLength(JSON.stringify(item)))),
  };
}

/** The kind QueueJob under a group that no controller watches: the same schema and validation, and nobody else's work. */
const TWIN: ResourceType = { ...QUEUE_JOB, group: 'bench.longshore.dev' };
const CALLERS = 64;

/** Whole lives (create, status, delete) a second of objects like QueueJobs, by a client without anything behind it. */
export async function bareLives(bench: Bench, lives: number): Promise<number> {
  await installTwin(bench);
  const { kubeconfig } = bench.installed.target;
  const client = createKubeClient({
    kubeconfigPath: kubeconfig,
    fieldManager: 'bench',
    connections: 8,
    timeoutMs: 60_000,
  });
  try {
    const startedAt = performance.now();
    for (const step of [create, patchStatus, remove]) await inParallel(lives, (n) => step(client, bench, n));
    return lives / ((performance.now() - startedAt) / 1_000);
  } finally {
    await client.close();
  }
}

async function installTwin({ installed }: Bench): Promise<void> {
  const text = readFileSync(join(ROOT, 'k8s/crds/longshore.dev_queuejobs.yaml'), 'utf8');
  const twin = text
    .replace('name: queuejobs.longshore.dev', 'name: queuejobs.bench.longshore.dev')
    .replace('group: longshore.dev', 'group: bench.longshore.dev')
    // Short names and categories are those of the first kind that has them.
    .replaceAll(/^ {4}(shortNames|categories):\n(?: {4,6}- .*\n)+/gm, '');
  await installed.kubectl.run(['apply', '--server-side', '--filename', '-'], { input: twin });
  await installed.kubectl.run([
    ...['wait', '--for=condition=Established', '--timeout=30s', 'crd/queuejobs.bench.longshore.dev'],
  ]);
}

export async function removeTwin({ installed }: Bench): Promise<void> {
  await installed.kubectl.run([
    'delete',
    'crd/queuejobs.bench.longshore.dev',
    '--ignore-not-found',
    '--timeout=60s',
  ]);
}

const nameOf = (n: number) => `life-${n}`;
const refOf = ({ installed }: Bench, n: number) => ({ namespace: installed.namespace, name: nameOf(n) });

async function create(client: KubeClient, bench: Bench, n: number): Promise<void> {
  const spec = {
    type: 'greet',
    input: { name: 'Ada' },
    retries: 3,
    timeoutSeconds: 60,
    ttlSecondsAfterFinished: 3_600,
  };
  await client.create(TWIN, { metadata: refOf(bench, n), spec } as KubeObject);
}

async function patchStatus(client: KubeClient, bench: Bench, n: number): Promise<void> {
  const finishedAt = `${new Date().toISOString().slice(0, 19)}Z`;
  const condition = { type: 'Finished', status: 'True', reason: 'Succeeded', message: '' };
  const status = {
    phase: 'Succeeded',
    conditions: [{ ...condition, lastTransitionTime: finishedAt, observedGeneration: 1 }],
  };
  await client.patchStatusMerge(TWIN, refOf(bench, n), { status });
}

async function remove(client: KubeClient, bench: Bench, n: number): Promise<void> {
  await client.delete(TWIN, refOf(bench, n));
}

async function inParallel(count: number, call: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const caller = async () => {
    while (next < count) await call(next++);
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}
