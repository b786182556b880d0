import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { HandlerContext } from '../../src/core/handler.ts';
import { isFinal, type Job } from '../../src/core/job.ts';
import { QUEUE_JOB, type QueueJob } from '../../src/core/kinds/queue-job.ts';
import { isNotFound } from '../../src/kube/kube-api-error.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { cancelJobs, getJob, listJobs } from '../../src/ledger/jobs.ts';
import { ClusterController } from '../support/cluster-controller.ts';
import { createKubectl, installCrds, type Kubectl } from '../support/crds.ts';
import { anyType } from '../support/embedded.ts';
import { type LocalApiserver, startKubeApiserver } from '../support/kube-apiserver.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

let server: LocalApiserver;
let kubectl: Kubectl;
let ledger: TestLedger;
let controller: ClusterController;
let stopWorker: () => Promise<void> = async () => {};
let run: (context: HandlerContext<unknown>) => Promise<unknown>;

beforeAll(async () => {
  server = await startKubeApiserver();
  kubectl = await createKubectl(server.kubeconfigPath);
  await installCrds(kubectl);
});
afterAll(() => server.stop());

beforeEach(async () => {
  ledger = await createTestLedger(['echo']);
  controller = new ClusterController({ ledger, kubeconfigPath: server.kubeconfigPath, leaseSeconds: 3 });
  run = async (context) => context.input;
});
afterEach(async () => {
  await stopWorker();
  stopWorker = async () => {};
  await controller.stop();
  await removeAll();
  await ledger.close();
});

/** Leaves no object to the next test, whoever would have to take its finalizer off. */
async function removeAll(): Promise<void> {
  const names = (await kubectl(['get', 'qj', '-o', 'name'])).split('\n').filter((name) => name !== '');
  for (const name of names)
    await kubectl(['patch', name, '--type=merge', '-p', '{"metadata":{"finalizers":null}}']).catch(() => '');
  await kubectl(['delete', 'qj', '--all', '--wait=false']);
}

async function startWorker(): Promise<void> {
  const { stop } = await controller.startWorker([anyType('echo', (context) => run(context))]);
  stopWorker = stop;
}

function ended(id: string): Promise<Job | null> {
  return waitFor(
    () => getJob(ledger.db, 'default', id),
    (job) => job !== null && isFinal(job.status),
    { timeoutMs: 15_000, describe: `the end of job ${id}` },
  );
}

async function read(name: string): Promise<QueueJob | null> {
  try {
    return await controller.client.get<QueueJob>(QUEUE_JOB, { namespace: 'default', name });
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

function seen(name: string, isDone: (object: QueueJob | null) => boolean): Promise<QueueJob | null> {
  return waitFor(() => read(name), isDone, { timeoutMs: 15_000, describe: `QueueJob ${name}` });
}

function apply(name: string, spec: object, annotations: object = {}): Promise<string> {
  const object = {
    apiVersion: 'longshore.dev/v1alpha1',
    kind: 'QueueJob',
    metadata: { name, namespace: 'default', annotations },
    spec,
  };
  return kubectl(['apply', '-f', '-'], JSON.stringify(object));
}

async function jobOf(name: string): Promise<Job | null> {
  const resource = { namespace: 'default', name };
  return (
    (await listJobs(ledger.db, { namespace: 'default', resource }, { limit: 1, beforeId: null }))[0] ?? null
  );
}

describe('a job of REST', () => {
  it('is shown by a QueueJob of its id, which costs three writes in all', async () => {
    controller.startLeading();
    await startWorker();
    const job = newJob({ ttlSecondsAfterFinished: 1, input: { n: 1 } });
    await acceptJobs(ledger.db, [job]);
    expect(await ended(job.id)).toMatchObject({ status: 'SUCCESS', result: { n: 1 } });
    const shown = await seen(job.id, (object) => object?.status?.phase === 'Succeeded');
    expect(shown?.spec).toMatchObject({ type: 'echo', input: { n: 1 } });
    expect(shown?.metadata.finalizers).toBeUndefined();
    expect(shown?.status).toMatchObject({ jobId: job.id, attempts: 1, observedGeneration: 1 });
    await seen(job.id, (object) => object === null);
    const writes = controller.requests.filter(({ method }) => method !== 'GET');
    expect(writes.map(({ method }) => method)).toEqual(['POST', 'PATCH', 'DELETE']);
  });
});

describe('an applied QueueJob', () => {
  it('is adopted, run, waited for, and shows its end', async () => {
    controller.startLeading();
    await startWorker();
    await apply('hello', { type: 'echo', input: { message: 'hi' } });
    await kubectl(['wait', '--for=condition=Finished', '--timeout=20s', 'qj/hello']);
    const object = await read('hello');
    const job = await jobOf('hello');
    expect(job).toMatchObject({ status: 'SUCCESS', result: { message: 'hi' } });
    expect(object?.metadata.annotations?.['longshore.dev/job-id']).toBe(job?.id);
    expect(object?.metadata.finalizers).toEqual(['longshore.dev/cancel-job']);
    expect(object?.status).toMatchObject({ phase: 'Succeeded', jobId: job?.id, attempts: 1 });
    await kubectl(['delete', 'qj/hello', '--timeout=20s']);
    expect(await read('hello')).toBeNull();
  });
});
