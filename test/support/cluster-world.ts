import type { HandlerContext } from '../../src/core/handler.ts';
import { isFinal, type Job } from '../../src/core/job.ts';
import { QUEUE_JOB, type QueueJob } from '../../src/core/kinds/queue-job.ts';
import { isNotFound } from '../../src/kube/kube-api-error.ts';
import { getJob, listJobs } from '../../src/ledger/jobs.ts';
import { ClusterController, type ClusterControllerOptions } from './cluster-controller.ts';
import { createKubectl, installCrds, type Kubectl } from './crds.ts';
import { anyType } from './embedded.ts';
import { type LocalApiserver, startKubeApiserver } from './kube-apiserver.ts';
import { createTestLedger, type TestLedger } from './ledger.ts';
import { waitFor } from './wait-for.ts';

/** An API server with Longshore's kinds, for the tests of one file. */
export async function startCluster(): Promise<{ server: LocalApiserver; kubectl: Kubectl }> {
  const server = await startKubeApiserver();
  const kubectl = await createKubectl(server.kubeconfigPath);
  await installCrds(kubectl);
  return { server, kubectl };
}

/** One test's ledger, controllers and workers on the API server of the file. */
export class ClusterWorld {
  readonly ledger: TestLedger;
  readonly #server: LocalApiserver;
  readonly kubectl: Kubectl;
  readonly #stops: (() => Promise<void>)[] = [];
  /** What the type `echo` does. Defaults to answering its input. */
  run: (context: HandlerContext<unknown>) => Promise<unknown> = async ({ input }) => input;
  /** How often each job was started. */
  readonly starts = new Map<string, number>();
  #controller: ClusterController | undefined;
  #prefix: string | undefined;

  private constructor(cluster: { server: LocalApiserver; kubectl: Kubectl }, ledger: TestLedger) {
    this.#server = cluster.server;
    this.kubectl = cluster.kubectl;
    this.ledger = ledger;
  }

  static async create(cluster: { server: LocalApiserver; kubectl: Kubectl }): Promise<ClusterWorld> {
    return new ClusterWorld(cluster, await createTestLedger(['echo']));
  }

  /** The controller that was made last. */
  get controller(): ClusterController {
    if (this.#controller === undefined) throw new Error('No controller was made');
    return this.#controller;
  }

  /** Another controller on the same ledger and queues; the caller starts it. */
  createController(options: Partial<ClusterControllerOptions> = {}): ClusterController {
    const controller = new ClusterController({
      ledger: this.ledger,
      kubeconfigPath: this.#server.kubeconfigPath,
      leaseSeconds: 3,
      ...(this.#prefix === undefined ? {} : { prefix: this.#prefix }),
      ...options,
    });
    this.#prefix = controller.prefix;
    this.#controller = controller;
    this.#stops.push(() => controller.stop());
    return controller;
  }

  async startWorker(concurrency = 10): Promise<void> {
    const echo = anyType('echo', (context) => {
      this.starts.set(context.job.id, (this.starts.get(context.job.id) ?? 0) + 1);
      return this.run(context);
    });
    const { stop } = await this.controller.startWorker([echo], concurrency);
    this.#stops.push(stop);
  }

  ended(id: string, timeoutMs = 20_000): Promise<Job | null> {
    return waitFor(
      () => getJob(this.ledger.db, 'default', id),
      (job) => job !== null && isFinal(job.status),
      { timeoutMs, describe: `the end of job ${id}` },
    );
  }

  async read(name: string, namespace = 'default'): Promise<QueueJob | null> {
    try {
      return await this.controller.client.get<QueueJob>(QUEUE_JOB, { namespace, name });
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  /** Waits until a QueueJob (null: none of this name) is as told. */
  seen(
    name: string,
    isDone: (object: QueueJob | null) => boolean,
    timeoutMs = 20_000,
  ): Promise<QueueJob | null> {
    return waitFor(() => this.read(name), isDone, { timeoutMs, describe: `QueueJob ${name}` });
  }

  async names(): Promise<string[]> {
    const { items } = await this.controller.client.list<QueueJob>(QUEUE_JOB, {
      namespace: 'default',
      limit: 5_000,
    });
    return items.map(({ metadata }) => metadata.name);
  }

  apply(name: string, spec: object, annotations: object = {}): Promise<string> {
    const object = {
      apiVersion: 'longshore.dev/v1alpha1',
      kind: 'QueueJob',
      metadata: { name, namespace: 'default', annotations },
      spec,
    };
    return this.kubectl(['apply', '-f', '-'], JSON.stringify(object));
  }

  patch(name: string, patch: object): Promise<string> {
    return this.kubectl(['patch', `qj/${name}`, '--type=merge', '-p', JSON.stringify(patch)]);
  }

  waitFinished(name: string): Promise<string> {
    return this.kubectl(['wait', '--for=condition=Finished', '--timeout=30s', `qj/${name}`]);
  }

  async jobOf(name: string): Promise<Job | null> {
    const resource = { namespace: 'default', name };
    const page = { limit: 1, beforeId: null };
    return (await listJobs(this.ledger.db, { namespace: 'default', resource }, page))[0] ?? null;
  }

  /** Stops everything and leaves no object to the next test, whoever would have to take its finalizer off. */
  async stop(): Promise<void> {
    for (const stop of this.#stops.reverse()) await stop();
    const names = (await this.kubectl(['get', 'qj', '-o', 'name'])).split('\n').filter((name) => name !== '');
    if (names.length > 0) {
      const client = '{"metadata":{"finalizers":null}}';
      for (const name of names.filter((n) => !/[0-9a-f]{8}-[0-9a-f]{4}-7/.test(n)))
        await this.kubectl(['patch', name, '--type=merge', '-p', client]).catch(() => '');
      await this.kubectl(['delete', 'qj', '--all', '--wait=false']);
    }
    await this.ledger.close();
  }
}

export function conditionOf(object: QueueJob | null, type: string) {
  return object?.status?.conditions?.find((condition) => condition.type === type);
}
