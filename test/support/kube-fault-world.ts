import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { HandlerContext } from '../../src/core/handler.ts';
import { QUEUE_JOB, type QueueJob } from '../../src/core/kinds/queue-job.ts';
import { createKubeClient, type KubeClient } from '../../src/kube/client.ts';
import type { ResourceType } from '../../src/kube/resource-type.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { putPool } from '../../src/ledger/pools.ts';
import { withDeadline } from '../../src/lifecycle/wait-for.ts';
import { checkRun } from './checker.ts';
import { anyType } from './embedded.ts';
import type { ActivePlan, Fault, HttpFaultProxy, ProxiedRequest } from './http-fault-proxy.ts';
import type { LocalApiserver } from './kube-apiserver.ts';
import { type Life, startLife } from './kube-fault-life.ts';
import { APPLIED, type Write, whoOf, writeOf } from './kube-writes.ts';
import { createTestLedger, newJob, type TestLedger } from './ledger.ts';
import { RunRecorder } from './run-records.ts';
import { waitFor } from './wait-for.ts';

const NAMESPACE: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
};
const LEASE_SECONDS = 30;
const TIMEOUT_MS = 15_000;

/**
 * A job of REST and an applied one in a namespace of their own, whose controller talks to the API server through a proxy
 * that lies. What became of their QueueJobs is told by a watch that no fault touches.
 */
export class KubeFaultWorld {
  readonly namespace = `f${randomBytes(5).toString('hex')}`;
  readonly recorder = new RunRecorder();
  readonly ledger: TestLedger;
  readonly #server: LocalApiserver;
  readonly #direct: KubeClient;
  readonly #folder: string;
  readonly #watchIdleMs: number | undefined;
  readonly #lives: Life[] = [];
  readonly #closers: (() => Promise<unknown>)[] = [];
  readonly #events: { type: string; object: QueueJob }[] = [];
  readonly #starts = new Map<string, number>();
  readonly #leases = new Map<string, number>();
  readonly #poolSecret = randomBytes(16).toString('hex');
  /** Handlers wait for it: a job that ended before its QueueJob could be made would never get one. */
  readonly #gate = Promise.withResolvers<void>();
  readonly #watching = new AbortController();
  #disturbances = 0;

  private constructor(parts: {
    server: LocalApiserver;
    ledger: TestLedger;
    folder: string;
    idleMs?: number;
  }) {
    this.#server = parts.server;
    this.#folder = parts.folder;
    this.#watchIdleMs = parts.idleMs;
    this.ledger = parts.ledger;
    this.#direct = createKubeClient({
      kubeconfigPath: parts.server.kubeconfigPath,
      fieldManager: 'longshore-test',
    });
  }

  /** Runs `test` in a world that is there and gone with it. */
  static async in(
    server: LocalApiserver,
    test: (world: KubeFaultWorld) => Promise<void>,
    options: { watchIdleMs?: number } = {},
  ): Promise<void> {
    const ledger = await createTestLedger();
    const folder = await mkdtemp(join(tmpdir(), 'longshore-faults-'));
    const idle = options.watchIdleMs === undefined ? {} : { idleMs: options.watchIdleMs };
    const world = new KubeFaultWorld({ server, ledger, folder, ...idle });
    try {
      await world.#begin();
      await test(world);
    } finally {
      await world.#close();
    }
  }

  get kube(): HttpFaultProxy {
    return this.#life.kube;
  }

  get #life(): Life {
    const life = this.#lives.at(-1);
    if (life === undefined) throw new Error('No controller was started');
    return life;
  }

  /** Puts a fault on the first write of this name. @param onStrike - Called before anything happens to the write. */
  faultOn(write: Write, fault: Fault, onStrike?: (life: Life) => void): ActivePlan {
    const life = this.#life;
    this.#disturbances += 1;
    const match = (request: ProxiedRequest): boolean => {
      if (writeOf(request, life.kube.requests) !== write) return false;
      onStrike?.(life);
      return true;
    };
    return life.kube.plan({ match, fault });
  }

  /** To be told of a disturbance that was seen to work. */
  disturbed(fault: string): void {
    this.recorder.injected(fault);
  }

  /** Counts what is not put on a write: each may cost one more status write. */
  expectDisturbances(count: number): void {
    this.#disturbances += count;
  }

  /** Submits the one, applies the other. */
  async submit(): Promise<void> {
    const job = newJob({ namespace: this.namespace, ttlSecondsAfterFinished: 3_600 });
    const call = this.recorder.invoke('submit', { jobId: job.id });
    await acceptJobs(this.ledger.db, [job]);
    call.ok(job.id, 201);
    await this.#direct.create<QueueJob>(QUEUE_JOB, {
      apiVersion: 'longshore.dev/v1alpha1',
      kind: 'QueueJob',
      metadata: { namespace: this.namespace, name: APPLIED },
      spec: { type: 'echo', input: { hello: 'world' }, ttlSecondsAfterFinished: 3_600 },
    } as QueueJob);
  }

  /** Until both handlers run and both QueueJobs are there. */
  async running(): Promise<void> {
    await waitFor(
      async () => ({ started: this.#starts.size, shown: (await this.#objects()).length }),
      ({ started, shown }) => started === 2 && shown === 2,
      { timeoutMs: TIMEOUT_MS, describe: 'two started jobs and their QueueJobs' },
    );
  }

  /** Lets handlers come to their end. */
  release(): void {
    this.#gate.resolve();
  }

  /** Until both QueueJobs say that their jobs have succeeded. */
  async ended(): Promise<void> {
    await waitFor(
      async () => (await this.#objects()).map(({ status }) => status?.phase),
      (phases) => phases.length === 2 && phases.every((phase) => phase === 'Succeeded'),
      { timeoutMs: TIMEOUT_MS, describe: 'two QueueJobs that say Succeeded' },
    );
  }

  /** Lets the time of both run out, and waits until nothing is left of their QueueJobs. */
  async gone(): Promise<void> {
    await this.ledger.db.query('update jobs set ttl_seconds = 0');
    await waitFor(
      () => this.#objects(),
      (objects) => objects.length === 0,
      { timeoutMs: TIMEOUT_MS, describe: 'the end of both QueueJobs' },
    );
    await waitFor(
      () => this.#events.filter(({ type }) => type === 'DELETED').length,
      (count) => count >= 2,
      { describe: 'the events of two deletions' },
    );
  }

  async live(): Promise<void> {
    await this.submit();
    await this.running();
    this.release();
    await this.ended();
    await this.gone();
  }

  /** Expects that the run came to what an undisturbed one comes to. */
  async expectHeld(): Promise<void> {
    const injected = this.recorder.records.filter(({ kind }) => kind === 'injection').length;
    expect(injected, 'faults that were seen to work: without them this proved nothing').toBe(
      this.#disturbances,
    );
    const run = { records: this.recorder.records };
    const options = {
      minJobs: 1,
      minInjections: this.#disturbances,
      leaseSeconds: LEASE_SECONDS,
      windowSize: 1_000,
    };
    expect((await checkRun(this.ledger.db, run, options)).reasons).toEqual([]);
    const { rows } = await this.ledger.db.query(
      `select resource_uid is not null as applied, status, attempt, failures, interruptions, result, in_window, projected
       from jobs order by 1`,
    );
    const end = { status: 'SUCCESS', attempt: 1, failures: 0, interruptions: 0, result: { hello: 'world' } };
    const free = { in_window: false, projected: false };
    expect(rows).toEqual([
      { applied: false, ...end, ...free },
      { applied: true, ...end, ...free },
    ]);
    expect([...this.#starts.values()], 'each job was started once').toEqual([1, 1]);
    for (const who of ['rest', 'applied']) {
      const events = this.#events.filter(({ object }) => whoOf(object.metadata.name) === who);
      const count = (type: string) => events.filter((event) => event.type === type).length;
      expect([count('ADDED'), count('DELETED')], `QueueJobs made and deleted, ${who}`).toEqual([1, 1]);
      expect(events.at(-1)?.object.status?.phase, `the last phase, ${who}`).toBe('Succeeded');
      const statuses = this.writes().filter((write) => write === `${who} status`).length;
      expect(statuses, `writes of the status, ${who}`).toBeLessThanOrEqual(1 + this.#disturbances);
    }
  }

  /** The controllers' writes, in order, answered or not. */
  writes(): Write[] {
    const requests = this.#lives.flatMap(({ kube }) => kube.requests);
    return requests.flatMap((request, n) => writeOf(request, requests.slice(0, n)) ?? []);
  }

  /** Another controller, as a process of its own would be. */
  async startController(): Promise<void> {
    const prefix = this.#lives[0]?.controller.prefix;
    const life = await startLife({
      ledger: { ...this.ledger, poolSecret: this.#poolSecret },
      server: this.#server,
      kubeconfigPath: join(this.#folder, `kubeconfig-${this.#lives.length}`),
      leaseSeconds: LEASE_SECONDS,
      onClaimed: (job) => this.#leases.set(job.id, job.lease),
      ...(prefix === undefined ? {} : { prefix }),
      cluster: {
        namespace: this.namespace,
        ...(this.#watchIdleMs === undefined ? {} : { watchIdleMs: this.#watchIdleMs }),
      },
    });
    this.#lives.push(life);
    life.controller.startLeading();
  }

  async #begin(): Promise<void> {
    await this.#direct.create(NAMESPACE, { metadata: { name: this.namespace } });
    await putPool(
      this.ledger.db,
      { namespace: this.namespace, name: 'default', types: ['echo'] },
      this.#poolSecret,
    );
    this.#closers.push(await this.#witness());
    await this.startController();
    const echo = anyType('echo', (context) => this.#echo(context));
    const { stop } = await this.#life.controller.startWorker([echo]);
    this.#closers.push(stop);
  }

  /** Writes down what happens to QueueJobs, past every fault. */
  async #witness(): Promise<() => Promise<void>> {
    const { namespace } = this;
    const { resourceVersion } = await this.#direct.list<QueueJob>(QUEUE_JOB, { namespace });
    const { signal } = this.#watching;
    const watching = (async () => {
      for await (const event of this.#direct.watch<QueueJob>(QUEUE_JOB, {
        namespace,
        resourceVersion,
        signal,
      })) {
        if (event.type !== 'BOOKMARK') this.#events.push(event);
      }
    })().catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    return () => {
      this.#watching.abort();
      return watching;
    };
  }

  async #objects(): Promise<QueueJob[]> {
    return (await this.#direct.list<QueueJob>(QUEUE_JOB, { namespace: this.namespace })).items;
  }

  async #echo({ job, input }: HandlerContext<unknown>): Promise<unknown> {
    const lease = this.#leases.get(job.id) ?? 0;
    const delivery = { jobId: job.id, attempt: job.attempt, lease, worker: 'in-process' };
    this.recorder.witness('start', delivery);
    this.#starts.set(job.id, (this.#starts.get(job.id) ?? 0) + 1);
    await this.#gate.promise;
    this.recorder.witness('end', delivery);
    return input;
  }

  async #close(): Promise<void> {
    this.release();
    const [witness, worker] = this.#closers;
    const parts = Object.entries({
      worker: async () => worker?.(),
      witness: async () => witness?.(),
      controllers: () => Promise.all(this.#lives.map((life) => life.end())),
      client: () => this.#direct.close(),
      ledger: () => this.ledger.close(),
    });
    for (const [part, close] of parts) {
      await withDeadline(close, TIMEOUT_MS).catch((cause) => {
        throw new Error(`The world's ${part} did not close`, { cause });
      });
    }
    await rm(this.#folder, { recursive: true });
  }
}
