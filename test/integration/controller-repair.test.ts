import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { uuidv7 } from '../../src/core/ids.ts';
import { QUEUE_JOB, type QueueJob } from '../../src/core/kinds/queue-job.ts';
import { toQueueJob } from '../../src/core/queue-job-manifest.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { cancelJobs, getJob } from '../../src/ledger/jobs.ts';
import { ClusterWorld, conditionOf, startCluster } from '../support/cluster-world.ts';
import { newJob } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

let cluster: Awaited<ReturnType<typeof startCluster>>;
let world: ClusterWorld;

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.server.stop());
beforeEach(async () => {
  world = await ClusterWorld.create(cluster);
});
afterEach(() => world.stop());

function hold(): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  world.run = async ({ input }) => {
    await promise;
    return input;
  };
  return resolve;
}

async function allSucceed(jobs: readonly { id: string }[]): Promise<void> {
  for (const { id } of jobs) expect(await world.ended(id)).toMatchObject({ status: 'SUCCESS' });
  for (const { id } of jobs) expect(world.starts.get(id)).toBe(1);
}

describe('a controller that comes back', () => {
  it('goes on where the other stopped, and nothing runs twice', async () => {
    const open = hold();
    const first = world.createController().startLeading();
    await world.startWorker(5);
    const jobs = Array.from({ length: 60 }, (_, n) => newJob({ input: { n } }));
    await acceptJobs(world.ledger.db, jobs);
    await world.apply('applied', { type: 'echo' });
    await waitFor(
      () => world.starts.size,
      (size) => size === 5,
    );
    await first.stop();
    open();
    // What ends while nobody leads is shown by the next leader.
    const [done = ''] = world.starts.keys();
    await world.ended(done);
    world.createController().startLeading();
    await allSucceed(jobs);
    await world.waitFinished('applied');
    await world.seen(done, (object) => object?.status?.phase === 'Succeeded');
  });

  it('repairs what was lost in either direction', async () => {
    const open = hold();
    const first = world.createController().startLeading();
    await world.startWorker(20);
    const [kept, deleted, cancelled] = [newJob(), newJob(), newJob({ ttlSecondsAfterFinished: 3_600 })];
    await acceptJobs(world.ledger.db, [kept, deleted, cancelled]);
    for (const { id } of [kept, deleted, cancelled]) await world.seen(id, (object) => object !== null);
    await world.apply('orphan', { type: 'echo', suspend: true });
    await world.seen('orphan', (object) => conditionOf(object, 'Scheduled')?.reason === 'Suspended');
    await first.stop();

    const next = world.createController();
    // Gone behind our back; and the finalizer of an applied one taken off by force.
    await world.kubectl(['delete', `qj/${deleted.id}`]);
    await world.patch('orphan', { metadata: { finalizers: null } });
    await world.kubectl(['delete', 'qj/orphan']);
    await cancelJobs(world.ledger.db, 'default', [cancelled.id]);
    // A projection of a job that the ledger does not know.
    const stranger = uuidv7();
    const manifest = toQueueJob({ ...newJob({ id: stranger }), runAtMs: 0 }, Date.now());
    await next.client.create<QueueJob>(QUEUE_JOB, manifest);

    next.startLeading();
    await world.seen(deleted.id, (object) => object !== null);
    await world.seen(stranger, (object) => object === null);
    expect((await world.jobOf('orphan'))?.id).toBeDefined();
    expect(await world.ended((await world.jobOf('orphan'))?.id ?? '')).toMatchObject({ status: 'CANCELLED' });
    open();
    await allSucceed([kept, deleted]);
    await world.seen(cancelled.id, (object) => object?.status?.phase === 'Cancelled');
  });

  it('does nothing of its own while another one leads', async () => {
    world.createController().startLeading();
    const second = world.createController().start();
    await world.startWorker();
    const jobs = Array.from({ length: 20 }, () => newJob());
    await acceptJobs(world.ledger.db, jobs);
    await allSucceed(jobs);
    expect(second.requests.filter(({ method }) => method !== 'GET')).toEqual([]);
  });
});

describe('what is around', () => {
  it('an emptied Redis costs no job', async () => {
    const open = hold();
    world.createController().startLeading();
    await world.startWorker();
    const jobs = Array.from({ length: 60 }, (_, n) => newJob({ input: { n } }));
    await acceptJobs(world.ledger.db, jobs);
    await waitFor(
      () => world.starts.size,
      (size) => size === 10,
    );
    const redis = new Redis(process.env.LONGSHORE_TEST_REDIS_URL ?? '');
    await redis.del(...(await redis.keys(`${world.controller.prefix}:*`)));
    redis.disconnect();
    open();
    await allSucceed(jobs);
  });

  it('an API server that is away and comes back costs no job', async () => {
    world.createController({ cluster: { resyncMs: 2_000 } }).startLeading();
    await world.startWorker();
    await cluster.server.kill('kube-apiserver');
    const jobs = Array.from({ length: 10 }, (_, n) => newJob({ input: { n } }));
    await acceptJobs(world.ledger.db, jobs);
    await cluster.server.restart();
    await allSucceed(jobs);
  });

  it('jobs of a namespace that is going or gone are cancelled', async () => {
    world.createController().startLeading();
    await world.kubectl(['create', 'namespace', 'leaving']);
    await world.kubectl(['delete', 'namespace', 'leaving', '--wait=false']);
    const jobs = [newJob({ namespace: 'leaving' }), newJob({ namespace: 'never-there' })];
    await acceptJobs(world.ledger.db, jobs);
    for (const namespace of ['leaving', 'never-there']) {
      await world.ledger.db.query(
        "insert into worker_sessions (id, namespace, pool, types, concurrency) values ($1, $1, 'default', '{echo}', 10)",
        [namespace],
      );
    }
    for (const { id, namespace } of jobs) {
      await waitFor(
        () => getJob(world.ledger.db, namespace, id),
        (job) => job?.status === 'CANCELLED',
        { describe: `the end of the job in ${namespace}` },
      );
    }
  });
});
