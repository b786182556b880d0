import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Lease } from '../../src/kube/lease-elector.ts';
import { LEASE } from '../../src/kube/resource-type.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { putJobType } from '../../src/ledger/job-types.ts';
import { ClusterWorld, startCluster } from '../support/cluster-world.ts';
import { newJob } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

let cluster: Awaited<ReturnType<typeof startCluster>>;
let world: ClusterWorld;
let processes: Controller[];

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.server.stop());
beforeEach(async () => {
  world = await ClusterWorld.create(cluster);
  // Not started: it only lends its client and its queues to the test.
  world.createController();
  processes = [];
});
afterEach(async () => {
  for (const { child } of processes) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await world.kubectl(['delete', 'lease', '--all']);
  await world.stop();
});

interface Controller {
  child: ChildProcess;
  name: string;
  log(): string;
}

function startProcess(name: string, mode: 'on' | 'off'): Controller {
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [CLI, 'controller'], {
    env: {
      PATH,
      HOME,
      LONGSHORE_POSTGRES_URL: world.ledger.url,
      LONGSHORE_REDIS_URL: process.env.LONGSHORE_TEST_REDIS_URL,
      LONGSHORE_REDIS_PREFIX: world.controller.prefix,
      LONGSHORE_KUBERNETES: mode,
      LONGSHORE_KUBECONFIG: cluster.server.kubeconfigPath,
      LONGSHORE_POD_NAME: name,
      LONGSHORE_HEALTH_PORT: '0',
      LONGSHORE_SCALER_PORT: '0',
      LONGSHORE_ELECTION_LEASE_SECONDS: '4',
      LONGSHORE_ELECTION_RENEW_SECONDS: '3',
      LONGSHORE_ELECTION_RETRY_SECONDS: '1',
      LONGSHORE_WEBHOOK_SECRET: 'a-secret-for-tests-only',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-20_000);
    });
  }
  const started = { child, name, log: () => text };
  processes.push(started);
  return started;
}

function logged(controller: Controller, message: string, timeoutMs = 20_000): Promise<string> {
  return waitFor(controller.log, (text) => text.includes(message), {
    timeoutMs,
    describe: `"${message}" in the log of ${controller.name}`,
  });
}

async function holder(): Promise<string> {
  const ref = { namespace: 'default', name: 'longshore-controller' };
  const lease = await world.controller.client.get<Lease>(LEASE, ref).catch(() => undefined);
  return lease?.spec?.holderIdentity?.split('_')[0] ?? '';
}

async function leads(name: string, timeoutMs = 20_000): Promise<number> {
  const startedAt = performance.now();
  await waitFor(holder, (found) => found === name, { timeoutMs, describe: `${name} to lead` });
  return performance.now() - startedAt;
}

async function allSucceed(jobs: readonly { id: string }[]): Promise<void> {
  for (const { id } of jobs) expect(await world.ended(id, 30_000)).toMatchObject({ status: 'SUCCESS' });
  for (const { id } of jobs) expect(world.starts.get(id)).toBe(1);
}

describe('two controller processes', () => {
  it('in a cluster: another one leads soon after a crash, and nothing is done twice', async () => {
    const first = startProcess('first', 'on');
    await leads('first');
    const second = startProcess('second', 'on');
    await logged(second, 'Controller started');
    await world.startWorker();
    // The processes know the shipped types alone: this one is a user's own.
    await putJobType(world.ledger.db, {
      namespace: 'default',
      name: 'echo',
      description: 'For tests',
      inputSchema: { type: 'object' },
      resultSchema: {},
      defaults: {},
      limits: { maxRunning: null, rate: null },
    });
    const jobs = Array.from({ length: 200 }, (_, n) => newJob({ input: { n } }));
    await acceptJobs(world.ledger.db, jobs);
    await world.apply('applied', { type: 'echo' });
    first.child.kill('SIGKILL');
    // The lease of 4 s, and two tries of at most 1.2 s: as 11 s and 2.4 s make less than 16 s.
    expect(await leads('second')).toBeLessThan(4_000 + 2 * 1_200 + 1_000);
    await allSucceed(jobs);
    await world.waitFinished('applied');
    expect(await world.jobOf('applied')).toMatchObject({ status: 'SUCCESS' });
    for (const { id } of jobs)
      await world.seen(id, (object) => object?.status?.phase === 'Succeeded', 40_000);
  });

  it('in a cluster: another one leads at once after a clean stop', async () => {
    const first = startProcess('first', 'on');
    await leads('first');
    const second = startProcess('second', 'on');
    await logged(second, 'Controller started');
    first.child.kill('SIGTERM');
    const [code] = await once(first.child, 'exit');
    expect(code).toBe(0);
    expect(await leads('second')).toBeLessThan(2_500);
  });

  it('without a cluster: the session of the advisory lock decides', async () => {
    const first = startProcess('first', 'off');
    await logged(first, 'Became the leader');
    const second = startProcess('second', 'off');
    await logged(second, 'Controller started');
    await world.startWorker();
    const jobs = Array.from({ length: 100 }, (_, n) => newJob({ input: { n } }));
    await acceptJobs(world.ledger.db, jobs);
    first.child.kill('SIGKILL');
    await logged(second, 'Became the leader', 10_000);
    await allSucceed(jobs);
  });
});
