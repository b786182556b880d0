import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { parse } from 'yaml';
import type { Kubectl } from '../../test/e2e/support/kubectl.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { ROOT } from '../support.ts';
import type { Bench } from './bench.ts';

const NAMESPACE = 'longshore-bench-rivals';
/** One of those that kind-config.yaml maps to 127.0.0.1. */
const NODE_PORT = 30_081;
const REDIS = 'redis://redis.longshore-bench-rivals:6379';

/** Takes items as long as it runs, and notes when it started each. */
const WORKER = `
const { Redis } = require('/app/node_modules/ioredis');
const redis = new Redis(process.env.REDIS);
process.on('SIGTERM', () => process.exit(0));
(async () => {
  for (;;) {
    const item = await redis.brpop(process.env.LIST, 0);
    await redis.set('started:' + item[1], Date.now());
  }
})();`;

/** Takes one item, works for a second, and ends. */
const ONCE = `
const { Redis } = require('/app/node_modules/ioredis');
const redis = new Redis(process.env.REDIS);
(async () => {
  const item = await redis.rpop(process.env.LIST);
  if (item !== null) {
    await new Promise((done) => setTimeout(done, 1000));
    await redis.incr('done:' + process.env.LIST);
  }
  process.exit(0);
})();`;

/** What others do with the same pods and the same KEDA: a Redis, and workers that KEDA's own trigger scales. */
export class Rivals {
  readonly #bench: Bench;
  readonly #kubectl: Kubectl;
  redis: Redis | undefined;

  constructor(bench: Bench) {
    this.#bench = bench;
    this.#kubectl = bench.installed.system.in(NAMESPACE);
  }

  async start(): Promise<void> {
    const labels = { app: 'redis' };
    await this.#kubectl.apply(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'redis' },
        spec: { type: 'NodePort', selector: labels, ports: [{ port: 6379, nodePort: NODE_PORT }] },
      },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'redis', labels },
        spec: {
          containers: [
            {
              name: 'redis',
              image: redisImage(this.#bench),
              args: ['redis-server', '--save', '', '--appendonly', 'no', '--protected-mode', 'no'],
              readinessProbe: { tcpSocket: { port: 6379 }, periodSeconds: 1 },
            },
          ],
        },
      },
    );
    await this.#kubectl.waitFor('condition=Ready', 'pod/redis', 60);
    this.redis = new Redis({ host: '127.0.0.1', port: NODE_PORT, maxRetriesPerRequest: 20 });
    // The Service takes a moment; the ping below waits for it.
    this.redis.on('error', () => {});
    await this.redis.ping();
  }

  /** Workers for a list, at zero until KEDA sees something in it; `pollingInterval` is KEDA's default when absent. */
  async addWorkers(list: string, pollingInterval?: number): Promise<void> {
    const labels = { app: list };
    await this.#kubectl.apply(
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: list },
        spec: {
          replicas: 0,
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: { terminationGracePeriodSeconds: 1, containers: [this.#container(list, WORKER)] },
          },
        },
      },
      {
        apiVersion: 'keda.sh/v1alpha1',
        kind: 'ScaledObject',
        metadata: { name: list },
        spec: {
          scaleTargetRef: { name: list },
          minReplicaCount: 0,
          maxReplicaCount: 1,
          cooldownPeriod: 1,
          ...(pollingInterval === undefined ? {} : { pollingInterval }),
          triggers: [trigger(list)],
        },
      },
    );
    await this.#kubectl.waitFor('condition=Ready', `scaledobject/${list}`, 60);
  }

  /** A pod for each item of a list. */
  async addScaledJob(list: string, maxReplicaCount: number): Promise<void> {
    await this.#kubectl.apply({
      apiVersion: 'keda.sh/v1alpha1',
      kind: 'ScaledJob',
      metadata: { name: list },
      spec: {
        pollingInterval: 1,
        maxReplicaCount,
        successfulJobsHistoryLimit: 1,
        jobTargetRef: {
          backoffLimit: 0,
          template: { spec: { restartPolicy: 'Never', containers: [this.#container(list, ONCE)] } },
        },
        triggers: [trigger(list, '1')],
      },
    });
    await this.#kubectl.waitFor('condition=Ready', `scaledjob/${list}`, 60);
  }

  async waitForZero(list: string, timeoutMs = 180_000): Promise<void> {
    await waitFor(
      () => sleep(250).then(() => this.#kubectl.list('pods', `app=${list}`)),
      (pods) => pods.length === 0,
      { timeoutMs, describe: `no pods of ${list}` },
    );
  }

  /** Milliseconds from the push to the moment that a worker has the item. */
  async wakeUp(list: string, timeoutMs: number): Promise<number> {
    const redis = this.#connected();
    const item = crypto.randomUUID();
    const pushedAtMs = Date.now();
    await redis.lpush(list, item);
    const startedAt = await waitFor(() => redis.get(`started:${item}`), {
      timeoutMs,
      describe: `a worker of ${list}`,
    });
    return Number(startedAt) - pushedAtMs;
  }

  /** Milliseconds from the first of `count` pushes until all are done. */
  async doAll(list: string, count: number, timeoutMs: number): Promise<number> {
    const redis = this.#connected();
    const startedAt = performance.now();
    await redis.lpush(list, ...Array.from({ length: count }, (_, n) => `item-${n}`));
    await waitFor(
      () => sleep(100).then(() => redis.get(`done:${list}`)),
      (done) => Number(done ?? 0) >= count,
      { timeoutMs, describe: `${count} items of ${list}` },
    );
    return performance.now() - startedAt;
  }

  async stop(): Promise<void> {
    this.redis?.disconnect();
    const options = ['--ignore-not-found', '--timeout=120s'];
    await this.#kubectl.run(['delete', 'namespace', NAMESPACE, ...options], { timeoutMs: 130_000 });
  }

  #connected(): Redis {
    if (this.redis === undefined) throw new Error('The rivals have not been started');
    return this.redis;
  }

  #container(list: string, script: string): object {
    return {
      name: 'worker',
      image: this.#bench.installed.customImage,
      command: ['node', '--eval', script],
      env: [
        { name: 'REDIS', value: REDIS },
        { name: 'LIST', value: list },
      ],
    };
  }
}

/** Starts them for `work`, and takes them away whatever comes of it. */
export async function withRivals<T>(bench: Bench, work: (rivals: Rivals) => Promise<T>): Promise<T> {
  const rivals = new Rivals(bench);
  try {
    await rivals.start();
    return await work(rivals);
  } finally {
    await rivals.stop();
  }
}

function trigger(listName: string, listLength = '5'): object {
  return {
    type: 'redis',
    metadata: { address: 'redis.longshore-bench-rivals:6379', listName, listLength },
  };
}

/** The one that the release runs too, so that it is there already. */
function redisImage({ installed }: Bench): string {
  if (installed.target.engine !== 'bare') return 'docker.io/valkey/valkey:8.1';
  const text = readFileSync(join(ROOT, 'hack/cluster/values-bare.yaml'), 'utf8');
  return (parse(text) as { redis: { image: string } }).redis.image;
}
