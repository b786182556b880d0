import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { JOB_SCHEDULE, type JobSchedule } from '../../src/core/kinds/job-schedule.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { getSchedule, putSchedule } from '../../src/ledger/schedules.ts';
import { ClusterWorld, startCluster } from '../support/cluster-world.ts';
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
  world.createController().startLeading();
});
afterEach(async () => {
  await world.kubectl(['delete', 'js', '--all', '--wait=false']);
  await world.stop();
});

function apply(name: string, spec: object): Promise<string> {
  const object = {
    apiVersion: 'longshore.dev/v1alpha1',
    kind: 'JobSchedule',
    metadata: { name, namespace: 'default' },
    spec,
  };
  return world.kubectl(['apply', '-f', '-'], JSON.stringify(object));
}

function seen(name: string, isDone: (object: JobSchedule) => boolean): Promise<JobSchedule> {
  return waitFor(
    () => world.controller.client.get<JobSchedule>(JOB_SCHEDULE, { namespace: 'default', name }),
    isDone,
    { timeoutMs: 20_000, describe: `JobSchedule ${name}` },
  );
}

function ready(object: JobSchedule) {
  return object.status?.conditions?.find((condition) => condition.type === 'Ready');
}

const row = (name: string) => getSchedule(world.ledger.db, 'default', name);

it('a JobSchedule has a row in the ledger that changes and goes with it', async () => {
  const jobTemplate = { type: 'echo', input: { message: 'hi' } };
  await apply('daily', { cron: '0 6 * * *', timeZone: 'Europe/Berlin', jobTemplate });
  const object = await seen('daily', (o) => ready(o)?.status === 'True');
  const made = await row('daily');
  expect(made).toMatchObject({ resourceUid: object.metadata.uid });
  expect(object.status).toMatchObject({
    schedule: '0 6 * * * Europe/Berlin',
    active: 0,
    observedGeneration: 1,
  });
  expect(Date.parse(object.status?.nextFireTime ?? '')).toBe(made?.nextFireAtMs);
  await apply('daily', { cron: '0 6 * * *', timeZone: 'Europe/Berlin', suspend: true, jobTemplate });
  await seen('daily', (o) => ready(o)?.reason === 'Suspended' && o.status?.nextFireTime === undefined);
  expect(await row('daily')).toMatchObject({ nextFireAtMs: null });
  await world.kubectl(['delete', 'js/daily']);
  await waitFor(
    () => row('daily'),
    (found) => found === null,
  );
});

it.each([
  [
    'zone',
    { cron: '0 6 * * *', timeZone: 'Europe/Nowhere', jobTemplate: { type: 'echo' } },
    'InvalidSchedule',
    'timeZone',
  ],
  [
    'input',
    { every: '10s', jobTemplate: { type: 'echo', input: { message: 7 } } },
    'InvalidInput',
    '/spec/jobTemplate/input/message',
  ],
  ['type', { every: '10s', jobTemplate: { type: 'no-such-type' } }, 'UnknownType', 'no-such-type'],
])('one that cannot fire (%s) says why and has no row', async (name, spec, reason, message) => {
  await apply(name, spec);
  const object = await seen(name, (o) => ready(o)?.status === 'False');
  expect(ready(object)).toMatchObject({ reason });
  expect(ready(object)?.message).toContain(message);
  expect(await row(name)).toBeNull();
});

it('one whose name REST has taken leaves that alone', async () => {
  const spec = { every: '1h', job: { type: 'echo', input: {} } };
  await putSchedule(world.ledger.db, {
    namespace: 'default',
    name: 'taken',
    spec,
    resourceUid: null,
    nextFireAtMs: null,
  });
  await apply('taken', { every: '10s', jobTemplate: { type: 'echo' } });
  await seen('taken', (o) => ready(o)?.reason === 'NameTaken');
  await world.kubectl(['delete', 'js/taken']);
  expect(await row('taken')).toMatchObject({ resourceUid: null });
});

it('keeps as many finished QueueJobs as its history says', async () => {
  await world.startWorker();
  const labels = { 'longshore.dev/schedule': 'often' };
  const jobs = Array.from({ length: 5 }, () => newJob({ labels, ttlSecondsAfterFinished: 3_600 }));
  await acceptJobs(world.ledger.db, jobs);
  for (const { id } of jobs) await world.seen(id, (object) => object?.status?.phase === 'Succeeded');
  await apply('often', { every: '1h', historyLimits: { succeeded: 2 }, jobTemplate: { type: 'echo' } });
  await waitFor(
    () => world.names(),
    (names) => names.length === 2,
    { timeoutMs: 20_000, describe: 'two QueueJobs' },
  );
  expect((await world.names()).sort()).toEqual(jobs.slice(-2).map(({ id }) => id));
});
