import { randomBytes } from 'node:crypto';
import { Cluster, type ClusterOptions } from '../../src/controller/cluster.ts';
import { Controller } from '../../src/controller/controller.ts';
import { Dispatcher } from '../../src/controller/dispatcher.ts';
import { leadTogether } from '../../src/controller/election.ts';
import type { Registration } from '../../src/core/handler.ts';
import { DEFAULT_JOB_TYPE_DEFAULTS } from '../../src/core/job-type.ts';
import type { KnownType } from '../../src/core/known-type.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { noTracer } from '../../src/core/tracing.ts';
import { createKubeClient, type KubeClient } from '../../src/kube/client.ts';
import type { KubeRequestReport } from '../../src/kube/kube-transport.ts';
import { connectDatabase } from '../../src/ledger/database.ts';
import { LedgerListener } from '../../src/ledger/listener.ts';
import type { ClaimedJob } from '../../src/ledger/worker-ledger.ts';
import { JobQueue } from '../../src/queue/job-queue.ts';
import { Worker } from '../../src/worker/worker.ts';
import type { TestLedger } from './ledger.ts';

/** `echo` takes an object whose `message`, if there is one, is a text. */
export const echoType: KnownType = {
  name: 'echo',
  defaults: { ...DEFAULT_JOB_TYPE_DEFAULTS, retries: 2, backoff: { baseMs: 10, maxMs: 100 } },
  upload: null,
  checkInput: (input, base) => {
    const message = (input as { message?: unknown }).message;
    return message === undefined || typeof message === 'string'
      ? { input }
      : { errors: [{ pointer: `${base}/message`, detail: 'must be a text' }] };
  },
};

/** `develop` works on a file, which no QueueJob has. */
const KNOWN_TYPES = new Map(
  [echoType, { ...echoType, name: 'develop', upload: 'POST /v1/films' }].map((type) => [type.name, type]),
);

export interface ClusterControllerOptions {
  ledger: TestLedger;
  kubeconfigPath: string;
  redisUrl?: string;
  prefix?: string;
  leaseSeconds?: number;
  windowSize?: number;
  /** Deadline of a call to the API server. Defaults to the client's. */
  kubeTimeoutMs?: number;
  /** Its `namespace` is the workers', too; `default` when absent. */
  cluster?: Partial<ClusterOptions>;
  /** Told of each delivery that a worker claimed. */
  onClaimed?(job: ClaimedJob): void;
}

/** A controller with its side towards a real API server, in this process. */
export class ClusterController {
  readonly prefix: string;
  readonly client: KubeClient;
  readonly queue: JobQueue;
  readonly cluster: Cluster;
  /** Every call of this controller to the API server but watches. */
  readonly requests: KubeRequestReport[] = [];
  readonly #options: ClusterControllerOptions;
  readonly #controller: Controller;
  readonly #listener: LedgerListener;
  readonly #abort = new AbortController();
  #leading: Promise<unknown> | undefined;

  constructor(options: ClusterControllerOptions) {
    this.#options = options;
    this.prefix = options.prefix ?? `t${randomBytes(4).toString('hex')}`;
    const { db } = options.ledger;
    const logger = silentLogger;
    this.client = createKubeClient({
      kubeconfigPath: options.kubeconfigPath,
      fieldManager: 'longshore-controller',
      connections: 16,
      timeoutMs: options.kubeTimeoutMs,
      onRequest: (report) => this.requests.push(report),
    });
    this.queue = new JobQueue({ redisUrl: redisUrlOf(options), prefix: this.prefix, logger });
    this.#listener = new LedgerListener({ url: options.ledger.url, logger });
    const dispatcher = new Dispatcher({ db, queue: this.queue, logger });
    this.cluster = new Cluster({
      client: this.client,
      db,
      dispatcher,
      listener: this.#listener,
      types: { get: (_namespace, name) => KNOWN_TYPES.get(name) ?? null },
      webhooks: { allowInsecure: false, allowPrivate: false, canSign: true },
      logger,
      expiryMs: 200,
      unknownTypeGraceMs: 1_500,
      ...options.cluster,
    });
    this.#controller = new Controller({
      db,
      queue: this.queue,
      listener: this.#listener,
      dispatcher,
      window: this.cluster.window,
      logger,
      leaseSeconds: options.leaseSeconds ?? 30,
      windowSize: options.windowSize ?? 1_000,
    });
  }

  /** Watches, without leading. */
  start(): this {
    this.#listener.start();
    this.cluster.start();
    return this;
  }

  /** Leads until the signal aborts. */
  async lead(signal: AbortSignal): Promise<void> {
    await leadTogether(signal, [this.#controller, this.cluster]);
  }

  /** Watches and leads, without asking anybody. */
  startLeading(): this {
    this.start();
    this.#leading = this.lead(this.#abort.signal).catch((error: unknown) => {
      if (!this.#abort.signal.aborted) throw error;
    });
    return this;
  }

  /** Writes to one object since the start: `POST` and `PATCH` and `DELETE` of whatever has `name` in its path. */
  writesOf(name: string): KubeRequestReport[] {
    return this.requests.filter(({ method, path }) => method !== 'GET' && path.includes(name));
  }

  async startWorker(
    registrations: readonly Registration[],
    concurrency = 10,
  ): Promise<{ worker: Worker; stop(): Promise<void> }> {
    const { ledger, leaseSeconds = 30 } = this.#options;
    const workerId = `worker-${randomBytes(4).toString('hex')}`;
    const db = connectDatabase({
      url: ledger.workerUrl,
      applicationName: workerId,
      maxConnections: 2,
      logger: silentLogger,
    });
    const worker = new Worker({
      db,
      redisUrl: redisUrlOf(this.#options),
      prefix: this.prefix,
      namespace: this.#options.cluster?.namespace ?? 'default',
      poolSecret: ledger.poolSecret,
      workerId,
      registrations,
      concurrency,
      leaseSeconds,
      renewSeconds: leaseSeconds / 3,
      logger: silentLogger,
      tracer: noTracer,
      observer: {
        claimed: (job) => this.#options.onClaimed?.(job),
        refused() {},
        committed() {},
        released() {},
      },
    });
    await worker.start();
    return { worker, stop: () => worker.drain(1_000).finally(() => db.end()) };
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#leading;
    await this.cluster.stop();
    await this.#listener.stop();
    await this.queue.close();
    await this.client.close();
  }
}

function redisUrlOf(options: ClusterControllerOptions): string {
  const url = options.redisUrl ?? process.env.LONGSHORE_TEST_REDIS_URL;
  if (url === undefined)
    throw new Error('LONGSHORE_TEST_REDIS_URL is not set: run the tests by "make test-integration"');
  return url;
}
