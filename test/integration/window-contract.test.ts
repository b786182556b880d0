import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Dispatcher } from '../../src/controller/dispatcher.ts';
import { KubernetesWindow } from '../../src/controller/kubernetes-window.ts';
import { LedgerWindow } from '../../src/controller/ledger-window.ts';
import { createQueueJobStore } from '../../src/controller/queue-job-store.ts';
import { QueueJobWriter } from '../../src/controller/queue-job-writer.ts';
import type { Window } from '../../src/controller/window-port.ts';
import { QUEUE_JOB, type QueueJob } from '../../src/core/kinds/queue-job.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { createKubeClient, type KubeClient } from '../../src/kube/client.ts';
import { Reflector } from '../../src/kube/reflector.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { countWaiting, countWindow } from '../../src/ledger/admission.ts';
import { cancelJobs, getJob } from '../../src/ledger/jobs.ts';
import { JobQueue } from '../../src/queue/job-queue.ts';
import { startCluster } from '../support/cluster-world.ts';
import { writeKubeconfig } from '../support/kubeconfig.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

let cluster: Awaited<ReturnType<typeof startCluster>>;
let ledger: TestLedger;
let client: KubeClient;
const { signal } = new AbortController();

beforeAll(async () => {
  cluster = await startCluster();
  client = createKubeClient({ kubeconfigPath: cluster.server.kubeconfigPath, fieldManager: 'test' });
});
afterAll(async () => {
  await client.close();
  await cluster.server.stop();
});
beforeEach(async () => {
  ledger = await createTestLedger(['echo']);
});
afterEach(async () => {
  await cluster.kubectl(['delete', 'qj', '--all', '--wait=false']);
  await ledger.close();
});

interface Subject {
  window: Window;
  /** How many QueueJobs it knows of, where there are any. */
  known(): number | null;
  close(): Promise<void>;
}

function ledgerWindow(): Subject {
  const redisUrl = process.env.LONGSHORE_TEST_REDIS_URL ?? '';
  const queue = new JobQueue({
    redisUrl,
    prefix: `t${randomBytes(4).toString('hex')}`,
    logger: silentLogger,
  });
  const dispatcher = new Dispatcher({ db: ledger.db, queue, logger: silentLogger });
  return {
    window: new LedgerWindow({ db: ledger.db, dispatcher }),
    known: () => null,
    close: () => queue.close(),
  };
}

function kubernetesWindow(through = client, onUndone: (keys: readonly string[]) => void = () => {}): Subject {
  const store = createQueueJobStore(silentLogger);
  const reflector = new Reflector<QueueJob>({ client, type: QUEUE_JOB, store, logger: silentLogger });
  reflector.start();
  const writer = new QueueJobWriter({ client: through, db: ledger.db, logger: silentLogger });
  return {
    window: new KubernetesWindow({ db: ledger.db, writer, store, onUndone }),
    known: () => store.size,
    close: () => reflector.stop(),
  };
}

const use = async () =>
  (await countWindow(ledger.db)).find(({ type }) => type === 'echo') ?? { live: 0, open: 0 };
const allotment = (count: number, places?: number) => [
  { namespace: 'default', type: 'echo', count, ...(places === undefined ? {} : { places }) },
];

describe.each([
  ['without a cluster', ledgerWindow],
  ['of QueueJobs', () => kubernetesWindow()],
])('a window %s', (_name, create) => {
  let subject: Subject;
  beforeEach(() => {
    subject = create();
  });
  afterEach(() => subject.close());

  it('admits as many as told, by priority, then age, and no job twice', async () => {
    const jobs = [newJob(), newJob({ priority: 5 }), newJob(), newJob({ priority: -5 })];
    await acceptJobs(ledger.db, jobs);
    expect(await subject.window.admit(allotment(2), signal)).toBe(2);
    const admitted = await Promise.all(jobs.map(({ id }) => getJob(ledger.db, 'default', id)));
    expect(admitted.map((job) => job?.admittedAtMs !== null)).toEqual([true, true, false, false]);
    expect(await use()).toMatchObject({ live: 2, open: 2 });
    expect(await subject.window.admit(allotment(10), signal)).toBe(2);
    expect(await subject.window.admit(allotment(10), signal)).toBe(0);
  });

  it('admits nothing that is suspended, finished or not due', async () => {
    const jobs = [newJob({ suspended: true }), newJob({ runAtMs: Date.now() + 60_000 }), newJob()];
    await acceptJobs(ledger.db, jobs);
    await cancelJobs(ledger.db, 'default', [jobs[2]?.id ?? '']);
    expect(await subject.window.admit(allotment(10), signal)).toBe(0);
  });

  it('admits jobs that hold a place already beyond the places that are free', async () => {
    const applied = newJob({ resource: { namespace: 'default', name: 'applied', uid: 'u-1' } });
    await acceptJobs(ledger.db, [newJob(), newJob(), applied]);
    expect(await countWaiting(ledger.db, [{ namespace: 'default', type: 'echo' }], 100)).toMatchObject([
      { waiting: 3, placed: 1 },
    ]);
    expect(await subject.window.admit(allotment(2, 1), signal)).toBe(2);
    expect(await getJob(ledger.db, 'default', applied.id)).toMatchObject({
      admittedAtMs: expect.any(Number),
    });
    expect(await use()).toMatchObject({ live: 2, open: 2 });
  });

  it('has a place free for each finished job once room is made, and never for an unfinished one', async () => {
    const jobs = Array.from({ length: 4 }, () => newJob());
    await acceptJobs(ledger.db, jobs);
    await subject.window.admit(allotment(4), signal);
    await waitFor(subject.known, (count) => count === null || count === 4);
    const ended = jobs.slice(0, 3).map(({ id }) => id);
    await cancelJobs(ledger.db, 'default', ended);
    await subject.window.makeRoom('default', 10, 10, signal);
    expect(await use()).toMatchObject({ live: 1, open: 1 });
    await waitFor(
      async () =>
        (await client.list<QueueJob>(QUEUE_JOB, { namespace: 'default' })).items.map((o) => o.metadata.name),
      (names) => !names.some((name) => ended.includes(name)),
      { describe: 'no QueueJob of a job that made room' },
    );
  });

  it('lets applied QueueJobs stay while others can go', async () => {
    const applied = newJob({ resource: { namespace: 'default', name: 'applied', uid: 'u-1' } });
    await acceptJobs(ledger.db, [applied]);
    await cancelJobs(ledger.db, 'default', [applied.id]);
    expect(await subject.window.makeRoom('default', 5, 0, signal)).toBe(0);
    expect(await use()).toMatchObject({ live: 1 });
    expect(await subject.window.makeRoom('default', 5, 1, signal)).toBe(1);
    expect(await use()).toMatchObject({ live: 0 });
  });
});

it('a window of QueueJobs ends with its leadership, and tells what was not made', async () => {
  const asked = Promise.withResolvers<void>();
  const silent = createServer(() => asked.resolve());
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const folder = await mkdtemp(join(tmpdir(), 'longshore-window-'));
  const kubeconfigPath = join(folder, 'kubeconfig');
  await writeKubeconfig(kubeconfigPath, url, 'none');
  const through = createKubeClient({ kubeconfigPath, fieldManager: 'test', timeoutMs: 60_000 });
  const undone: string[] = [];
  const { window, close } = kubernetesWindow(through, (keys) => undone.push(...keys));
  const leading = new AbortController();
  try {
    const jobs = [newJob(), newJob()];
    await acceptJobs(ledger.db, jobs);
    const admitting = window.admit(allotment(2), leading.signal);
    await asked.promise;
    leading.abort(new Error('Leadership ended'));
    expect(await admitting).toBe(2);
    expect(undone.sort()).toEqual(jobs.map(({ id }) => `default/${id}`).sort());
  } finally {
    silent.closeAllConnections();
    await Promise.all([close(), through.close(), rm(folder, { recursive: true })]);
    silent.close();
  }
});
