import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isFinal, type JobStatus } from './job.ts';
import { ANNOTATIONS, API_VERSION, CANCEL_JOB_FINALIZER } from './kinds/meta.ts';
import type { QueueJob, QueueJobStatus } from './kinds/queue-job.ts';
import type { ProjectedJob } from './projected-job.ts';
import { type Observed, planQueueJob, type QueueJobAction } from './queue-job-plan.ts';

const NOW = 1_800_000_000_000;
const ID = '01890a5d-ac96-774b-bcce-b302099a8057';

function job(overrides: Partial<ProjectedJob> = {}): ProjectedJob {
  return {
    id: ID,
    namespace: 'default',
    type: 'echo',
    status: 'CREATED',
    attempt: 1,
    failures: 0,
    error: null,
    suspended: false,
    cancelRequested: false,
    resource: null,
    ttlSecondsAfterFinished: 60,
    projected: true,
    inWindow: true,
    dispatched: false,
    leased: false,
    runAtMs: NOW - 1_000,
    acceptedAtMs: NOW - 1_000,
    admittedAtMs: NOW - 500,
    startedAtMs: null,
    attemptStartedAtMs: null,
    finishedAtMs: null,
    ...overrides,
  };
}

function finished(status: JobStatus, overrides: Partial<ProjectedJob> = {}): ProjectedJob {
  return job({ status, startedAtMs: NOW - 900, finishedAtMs: NOW - 100, ...overrides });
}

const ours = (overrides: Partial<QueueJob['metadata']> = {}): QueueJob => ({
  apiVersion: API_VERSION,
  kind: 'QueueJob',
  metadata: {
    name: ID,
    namespace: 'default',
    uid: 'u',
    generation: 1,
    annotations: { [ANNOTATIONS.jobId]: ID },
    ...overrides,
  },
  spec: { type: 'echo' },
});

const applied = (overrides: Partial<QueueJob['metadata']> = {}): QueueJob =>
  ours({ name: 'mine', finalizers: [CANCEL_JOB_FINALIZER], ...overrides });

const resource = { namespace: 'default', name: 'mine', uid: 'u' };

function plan(object: QueueJob | null, of: ProjectedJob | null, more: Partial<Observed> = {}) {
  return planQueueJob({
    object,
    job: of,
    nowMs: NOW,
    status: object?.status,
    served: true,
    specChanged: false,
    ...more,
  });
}

const steps = (...args: Parameters<typeof plan>): QueueJobAction['do'][] =>
  plan(...args).actions.map((action) => action.do);

describe('a job of ours', () => {
  it('without its QueueJob gets one while it is unfinished, and none afterwards', () => {
    expect(steps(null, job())).toEqual(['create']);
    expect(steps(null, job({ admittedAtMs: null }))).toEqual([]);
    expect(steps(null, finished('SUCCESS'))).toEqual(['release']);
    expect(steps(null, finished('SUCCESS', { projected: false }))).toEqual([]);
  });

  it('goes onto its queue when it is ready, without a word', () => {
    expect(steps(ours(), job())).toEqual(['dispatch']);
    expect(steps(ours(), job({ dispatched: true }))).toEqual([]);
    expect(steps(ours(), job({ runAtMs: NOW + 5_000 }))).toEqual([]);
  });

  it('has its QueueJob deleted when the ledger has let go of it', () => {
    expect(steps(ours(), finished('SUCCESS', { projected: false }))).toEqual(['delete']);
    expect(steps(ours(), null)).toEqual(['delete']);
  });

  it('is shown as Running when it runs for long, and looked at again before', () => {
    const running = job({
      status: 'PROCESS',
      leased: true,
      dispatched: true,
      startedAtMs: NOW - 1_000,
      attemptStartedAtMs: NOW - 1_000,
    });
    expect(plan(ours(), running)).toEqual({ actions: [], againInMs: 4_010 });
    const { actions } = plan(ours(), { ...running, attemptStartedAtMs: NOW - 5_000 });
    expect(actions).toMatchObject([{ do: 'writeStatus', urgent: false, status: { phase: 'Running' } }]);
  });
});

describe('an applied QueueJob', () => {
  it('is adopted, unless it is leaving or was refused', () => {
    const fresh = applied({ annotations: {}, finalizers: [] });
    expect(steps(fresh, null)).toEqual(['adopt']);
    expect(steps({ ...fresh, metadata: { ...fresh.metadata, deletionTimestamp: 'x' } }, null)).toEqual([]);
    const refused: QueueJobStatus = { phase: 'Failed', completionTime: new Date(NOW - 1_000).toISOString() };
    expect(plan(fresh, null, { status: refused })).toEqual({ actions: [], againInMs: 3_599_000 });
    expect(steps(fresh, null, { status: refused, nowMs: NOW + 3_600_000 })).toEqual(['delete']);
  });

  it('that is deleted cancels its job and goes when that has ended', () => {
    const leaving = applied({ deletionTimestamp: 'x' });
    expect(plan(leaving, job({ resource }))).toMatchObject({ actions: [{ do: 'cancel' }], againInMs: 5_000 });
    expect(steps(leaving, job({ resource, cancelRequested: true, leased: true }))).toEqual([]);
    expect(steps(leaving, finished('CANCELLED', { resource }))).toEqual(['release', 'removeFinalizer']);
  });

  it('that shows the job of another one leaves without touching it', () => {
    const follower = applied({ uid: 'other', deletionTimestamp: 'x' });
    expect(steps(follower, job({ resource }))).toEqual(['removeFinalizer']);
  });

  it('says that the edit of its spec changed nothing', () => {
    const { actions } = plan(applied({ generation: 2 }), job({ resource }), { specChanged: true });
    expect(actions).toMatchObject([
      { do: 'dispatch' },
      { do: 'writeStatus', status: { conditions: [{ type: 'Accepted', reason: 'SpecChanged' }, {}] } },
    ]);
  });
});

const times = fc.integer({ min: NOW - 100_000, max: NOW + 100_000 });
const statuses = fc.constantFrom<JobStatus>('CREATED', 'PROCESS', 'SUCCESS', 'ERROR', 'CANCELLED');
const anyJob: fc.Arbitrary<ProjectedJob> = fc
  .record({
    status: statuses,
    attempt: fc.integer({ min: 1, max: 3 }),
    failures: fc.integer({ min: 0, max: 2 }),
    suspended: fc.boolean(),
    cancelRequested: fc.boolean(),
    isApplied: fc.boolean(),
    isOwner: fc.boolean(),
    projected: fc.boolean(),
    dispatched: fc.boolean(),
    leased: fc.boolean(),
    runAtMs: times,
    admittedAtMs: fc.option(times),
    startedAtMs: fc.option(times),
    finishedAtMs: times,
    error: fc.option(fc.constant({ code: 'Broken', message: 'x', retryable: true })),
  })
  .map(({ isApplied, isOwner, finishedAtMs, leased, dispatched, ...rest }) =>
    job({
      ...rest,
      leased: leased && rest.status === 'PROCESS',
      dispatched: dispatched && !isFinal(rest.status),
      attemptStartedAtMs: rest.startedAtMs,
      finishedAtMs: isFinal(rest.status) ? finishedAtMs : null,
      resource: isApplied ? { ...resource, uid: isOwner ? 'u' : 'first' } : null,
    }),
  );
const anyWorld = fc
  .record({
    of: fc.option(anyJob),
    isThere: fc.boolean(),
    deleted: fc.boolean(),
    marked: fc.boolean(),
    suspend: fc.boolean(),
    cancel: fc.boolean(),
    served: fc.boolean(),
  })
  .map(({ of, isThere, deleted, marked, suspend, cancel, served }) => {
    const isOurs = of !== null && of.resource === null;
    const base = isOurs ? ours() : applied(marked ? {} : { annotations: {}, finalizers: [] });
    const metadata = deleted ? { ...base.metadata, deletionTimestamp: 'x' } : base.metadata;
    const object = isThere ? { ...base, metadata, spec: { ...base.spec, suspend, cancel } } : null;
    const { actions } = plan(object, of, { served });
    return { of, object, served, actions, done: actions.map((action) => action.do) };
  });

type World = typeof anyWorld extends fc.Arbitrary<infer T> ? T : never;

const isOwned = ({ of }: World) => of !== null && (of.resource === null || of.resource.uid === 'u');
const hasEnded = ({ of }: World) => of !== null && isFinal(of.status);

function always(name: string, holds: (world: World) => void): void {
  it(name, () => fc.assert(fc.property(anyWorld, holds), { numRuns: 1_000 }));
}

describe('any plan', () => {
  always('takes the finalizer off only when the job has ended', (world) => {
    if (world.done.includes('removeFinalizer') && isOwned(world)) expect(hasEnded(world)).toBe(true);
  });
  always('deletes a QueueJob only when the ledger shows nothing by it', (world) => {
    if (world.done.includes('delete') && isOwned(world)) expect(world.of?.projected).toBe(false);
  });
  always('lets go of a job only after its end', (world) => {
    if (world.done.includes('release')) expect(hasEnded(world)).toBe(true);
  });
  always('puts nothing onto a queue that has ended, runs or is held back', (world) => {
    if (!world.done.includes('dispatch')) return;
    expect(world.of).toMatchObject({ leased: false, suspended: false, dispatched: false });
    expect(hasEnded(world)).toBe(false);
  });
  always('makes a QueueJob only where there is none and its job goes on', (world) => {
    if (world.done.includes('create')) expect([world.object, hasEnded(world)]).toEqual([null, false]);
  });
  always('tells the end at once, and once', (world) => {
    const { object, of, served, actions } = world;
    const isShown =
      object !== null && object.metadata.deletionTimestamp === undefined && of?.projected === true;
    if (!isShown || !hasEnded(world)) return;
    const write = actions.find((action) => action.do === 'writeStatus');
    expect(write?.urgent).toBe(true);
    const again = plan(object, of, { served, status: write?.status });
    expect(again.actions.find((action) => action.do === 'writeStatus')).toEqual(write);
  });
});
