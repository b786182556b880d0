import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { POD } from '../../../src/core/pool-manifests/resources.ts';
import { LEASE } from '../../../src/kube/resource-type.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { type Bench, type Measurement, type Row, requireSuccess, seconds, setting } from '../bench.ts';
import type { PodObject } from '../objects.ts';

const ROUNDS = setting('FAILOVER_ROUNDS', 3);
const SPACING_MS = 100;
const CRASH_MS = 16_000;
const STOP_MS = 2_000;

interface Lease {
  metadata: { name: string };
  spec: { holderIdentity?: string };
}

/** The controller that leads, by the holder of the Lease. */
async function findLeader(bench: Bench): Promise<PodObject> {
  const namespace = bench.installed.systemNamespace;
  const ref = { namespace, name: 'longshore-controller' };
  const { spec } = await bench.kube.get<Lease>(LEASE, ref);
  const { items } = await bench.kube.list<PodObject>(POD, {
    namespace,
    labelSelector: 'app.kubernetes.io/component=controller',
  });
  const leader = items.find(({ metadata }) => spec.holderIdentity?.includes(metadata.name));
  if (leader === undefined) throw new Error(`No pod holds the lease of ${spec.holderIdentity}`);
  return leader;
}

/** From the end of the leader until the next job was admitted, while a job comes every 100 ms. */
async function measureGap(bench: Bench, end: (leader: PodObject) => Promise<void>): Promise<number> {
  await bothReady(bench);
  const sinceMs = Date.now();
  const stop = new AbortController();
  let posted = 0;
  const posting = (async () => {
    while (!stop.signal.aborted) {
      await bench.post({});
      posted += 1;
      await sleep(SPACING_MS, undefined, { signal: stop.signal }).catch(() => {});
    }
  })();
  try {
    await sleep(3_000, undefined, { signal: bench.signal });
    const leader = await findLeader(bench);
    const endedAtMs = Date.now();
    await end(leader);
    await waitFor(
      () => sleep(200).then(() => findLeader(bench).catch(() => leader)),
      ({ metadata }) => metadata.name !== leader.metadata.name,
      { timeoutMs: 60_000, describe: 'another leader' },
    );
    await sleep(3_000, undefined, { signal: bench.signal });
    stop.abort();
    await posting;
    const jobs = await bench.drained(sinceMs, 60_000);
    requireSuccess(jobs, posted);
    return longestGap(
      jobs.map(({ admittedAt }) => Date.parse(admittedAt ?? '')),
      endedAtMs,
    );
  } finally {
    stop.abort();
    await posting;
  }
}

/** The longest time without an admission that ended after `fromMs`, counted from there at the earliest. */
function longestGap(times: number[], fromMs: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted.reduce((longest, at, index) => {
    const before = Math.max(fromMs, sorted[index - 1] ?? fromMs);
    return Math.max(longest, at - before);
  }, 0);
}

async function bothReady({ installed }: Bench): Promise<void> {
  const deployment = `deployment/${installed.prefix}-controller`;
  await installed.system.run(['rollout', 'status', deployment, '--timeout=120s'], { timeoutMs: 130_000 });
}

/**
 * Kills the process as the kernel would for want of memory. A container cannot do that to its own process 1, so it is
 * done from outside: where the node is this machine.
 */
function killFromOutside(pod: PodObject): void {
  const uid = pod.metadata.uid ?? '';
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && belongsTo(name, uid));
  if (pids.length === 0) throw new Error(`No process of pod ${pod.metadata.name} is on this machine`);
  for (const pid of pids) process.kill(Number(pid), 'SIGKILL');
}

function belongsTo(pid: string, podUid: string): boolean {
  try {
    const cgroups = readFileSync(`/proc/${pid}/cgroup`, 'utf8').replaceAll('_', '-');
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return podUid !== '' && cgroups.includes(podUid) && command.startsWith('node');
  } catch {
    return false;
  }
}

async function rounds(bench: Bench, end: (leader: PodObject) => Promise<void>): Promise<number[]> {
  const gaps: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    gaps.push(await measureGap(bench, end));
    bench.note(`the next admission came after ${seconds(gaps.at(-1) ?? 0)}`);
  }
  return gaps;
}

const row = (what: string, target: number, gaps: number[]): Row => ({
  what,
  target: `≤ ${target / 1_000} s`,
  measured: `worst ${seconds(Math.max(...gaps))} of ${gaps.length}`,
  met: Math.max(...gaps) <= target,
  values: { gapsMs: gaps },
});

export const crash: Measurement = {
  name: 'leader-crash',
  about: 'the leading controller is killed: until the other one admits a job (bare cluster)',
  async run(bench): Promise<Row[]> {
    if (bench.installed.target.engine !== 'bare') throw new Error('Only where the node is this machine');
    await bench.usePool({ minReplicas: 1, maxReplicas: 1 });
    const gaps = await rounds(bench, async (leader) => killFromOutside(leader));
    return [row('leader crash → first reconcile by the other', CRASH_MS, gaps)];
  },
};

export const cleanStop: Measurement = {
  name: 'leader-stop',
  about: 'the leading controller is stopped cleanly: until the other one admits a job',
  async run(bench): Promise<Row[]> {
    await bench.usePool({ minReplicas: 1, maxReplicas: 1 });
    const { system } = bench.installed;
    const gaps = await rounds(bench, async ({ metadata }) => {
      await system.run(['delete', 'pod', metadata.name, '--wait=false']);
    });
    return [row('clean stop of the leader → first reconcile by the other', STOP_MS, gaps)];
  },
};
