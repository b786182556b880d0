import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster } from '../support/cluster-world.ts';
import type { Fault } from '../support/http-fault-proxy.ts';
import { KubeFaultWorld } from '../support/kube-fault-world.ts';
import { WRITES } from '../support/kube-writes.ts';
import { waitFor } from '../support/wait-for.ts';

/**
 * A job of REST and an applied one, each of the controller's writes to the API server disturbed in turn: every run ends as
 * the undisturbed one. Runs share the server and nothing else, so some go on at the same time.
 */
let cluster: Awaited<ReturnType<typeof startCluster>>;

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.server.stop());

const conflict = JSON.stringify({
  kind: 'Status',
  code: 409,
  reason: 'Conflict',
  message: 'It was modified',
});
const FAULTS: [string, Fault][] = [
  ['lost before it is executed', { kind: 'before' }],
  ['executed and its answer lost', { kind: 'after' }],
  ['refused by 409', { kind: 'status', status: 409, body: conflict }],
  ['refused by 429', { kind: 'status', status: 429, headers: { 'retry-after': '1' } }],
  ['answered by 500', { kind: 'status', status: 500 }],
  ['never answered', { kind: 'hang' }],
  ['executed and never answered', { kind: 'hang', executed: true }],
];

it('without a fault there is one write of each kind', () =>
  KubeFaultWorld.in(cluster.server, async (world) => {
    await world.live();
    await world.expectHeld();
    expect(world.writes().toSorted()).toEqual(WRITES);
  }));

it('a fault that does not strike proves nothing', () =>
  KubeFaultWorld.in(cluster.server, async (world) => {
    await world.live();
    world.faultOn('rest create', { kind: 'before' });
    await expect(world.expectHeld()).rejects.toThrow('proved nothing');
  }));

describe.concurrent.each(WRITES)('%s', (write) => {
  it.concurrent.each(FAULTS)('%s', (name, fault) =>
    KubeFaultWorld.in(cluster.server, async (world) => {
      const plan = world.faultOn(write, fault);
      await world.live();
      if (isExecuted(fault)) expect([200, 201]).toContain(plan.executed[0]);
      if (plan.hits === 1) world.disturbed(`${write} ${name}`);
      await world.expectHeld();
    }),
  );

  it.concurrent.each(['before', 'after'] as const)('the controller crashes just %s it', (kind) =>
    KubeFaultWorld.in(cluster.server, async (world) => {
      const plan = world.faultOn(write, { kind }, ({ crash }) => crash());
      const living = world.live();
      // What is under way is awaited below; until then its failure has nobody else to hear of it.
      living.catch(() => undefined);
      await plan.waitForHits(1, 20_000);
      if (kind === 'after')
        await waitFor(
          () => plan.executed[0] ?? 0,
          (status) => status === 200 || status === 201,
          { describe: 'the execution of the write' },
        );
      world.disturbed(`crash ${kind} ${write}`);
      await world.startController();
      await living;
      await world.expectHeld();
    }),
  );
});

describe.concurrent('watches', () => {
  it.concurrent.each(['reset', 'end', 'silence'] as const)('cut by %s at every stage', (how) =>
    KubeFaultWorld.in(
      cluster.server,
      async (world) => {
        world.expectDisturbances(3);
        await cutWatches(world, how);
        await world.submit();
        await world.running();
        await cutWatches(world, how);
        world.release();
        await world.ended();
        await cutWatches(world, how);
        await world.gone();
        await world.expectHeld();
      },
      { watchIdleMs: 1_500 },
    ),
  );

  it.concurrent('too old, and so is the next list', () =>
    KubeFaultWorld.in(cluster.server, async (world) => {
      world.expectDisturbances(2);
      await tooOld(world);
      await world.submit();
      await world.running();
      await tooOld(world);
      world.release();
      await world.ended();
      await world.gone();
      await world.expectHeld();
    }));
});

function isExecuted(fault: Fault): boolean {
  return fault.kind === 'after' || (fault.kind === 'hang' && fault.executed === true);
}

/** Cuts the watches that are in use: of QueueJobs and of JobSchedules. */
async function cutWatches(world: KubeFaultWorld, how: 'reset' | 'end' | 'silence'): Promise<void> {
  await waitFor(
    () => world.kube.openWatches,
    (count) => count === 2,
    { describe: 'two open watches' },
  );
  if (world.kube.cutWatches(how) === 2) world.disturbed(`watches cut by ${how}`);
}

/** The watch of QueueJobs ends, the next one is refused as too old, and so is the list after that. */
async function tooOld(world: KubeFaultWorld): Promise<void> {
  const body = JSON.stringify({ kind: 'Status', code: 410, reason: 'Expired', message: 'Too old' });
  const fault: Fault = { kind: 'status', status: 410, body };
  const isQueueJobs = (path: string) => path.endsWith('/queuejobs');
  await waitFor(
    () => world.kube.openWatches,
    (count) => count === 2,
    { describe: 'two open watches' },
  );
  const watch = world.kube.plan({ match: (r) => r.isWatch && isQueueJobs(r.path), fault });
  const list = world.kube.plan({
    match: (r) => r.method === 'GET' && !r.isWatch && isQueueJobs(r.path),
    fault,
  });
  world.kube.cutWatches('end');
  await watch.waitForHits(1);
  await list.waitForHits(1);
  world.disturbed('watch and list too old');
}
