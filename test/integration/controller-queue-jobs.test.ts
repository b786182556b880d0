import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RetryableError, TerminalError } from '../../src/core/errors.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { cancelJobs, getJob, retryJobs } from '../../src/ledger/jobs.ts';
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

async function start(options: Parameters<ClusterWorld['createController']>[0] = {}): Promise<void> {
  world.createController(options).startLeading();
  await world.startWorker();
}

/** A handler that waits to be let go, or to be aborted. */
function gate(): { open(): void; run: ClusterWorld['run'] } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const run: ClusterWorld['run'] = ({ signal, input }) =>
    new Promise((done, fail) => {
      signal.addEventListener('abort', () => fail(signal.reason));
      void promise.then(() => done(input));
    });
  return { open: resolve, run };
}

describe('a job of REST', () => {
  it('is shown by a QueueJob of its id, which costs three writes in all', async () => {
    await start();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const job = newJob({ ttlSecondsAfterFinished: 1, input: { n: 1 }, traceparent });
    await acceptJobs(world.ledger.db, [job]);
    expect(await world.ended(job.id)).toMatchObject({ status: 'SUCCESS', result: { n: 1 } });
    const shown = await world.seen(job.id, (object) => object?.status?.phase === 'Succeeded');
    expect(shown?.spec).toMatchObject({ type: 'echo', input: { n: 1 } });
    expect(shown?.metadata.finalizers).toBeUndefined();
    expect(shown?.metadata.annotations).toMatchObject({ 'longshore.dev/traceparent': traceparent });
    expect(shown?.status).toMatchObject({ jobId: job.id, attempts: 1, observedGeneration: 1 });
    await world.seen(job.id, (object) => object === null);
    const writes = world.controller.requests.filter(({ method }) => method !== 'GET');
    expect(writes.map(({ method }) => method)).toEqual(['POST', 'PATCH', 'DELETE']);
  });

  it('costs no more among many', async () => {
    await start();
    const jobs = Array.from({ length: 100 }, (_, n) => newJob({ ttlSecondsAfterFinished: 1, input: { n } }));
    await acceptJobs(world.ledger.db, jobs);
    for (const job of jobs) await world.ended(job.id);
    await waitFor(
      () => world.names(),
      (names) => names.length === 0,
      { timeoutMs: 20_000, describe: 'an empty window' },
    );
    for (const job of jobs) expect(world.starts.get(job.id)).toBe(1);
    const tooMany = jobs.flatMap(({ id }) => {
      const writes = world.controller.writesOf(id);
      return writes.length > 2 ? [writes.map(({ method, status }) => `${method} ${status}`)] : [];
    });
    expect(tooMany).toEqual([]);
    const created = world.controller.requests.filter(({ method }) => method === 'POST');
    expect(created.length).toBe(jobs.length);
  });

  it('with a large input leaves that in the ledger', async () => {
    await start();
    const job = newJob({ input: { text: 'x'.repeat(40_000) } });
    await acceptJobs(world.ledger.db, [job]);
    await world.ended(job.id);
    const shown = await world.seen(job.id, (object) => object !== null);
    expect(shown?.spec.input).toBeUndefined();
    expect(shown?.spec.inputRef).toMatchObject({ bytes: Buffer.byteLength(JSON.stringify(job.input)) });
  });

  it('that backs off or runs for long says so, and its end clears it', async () => {
    const { open, run } = gate();
    world.run = (context) => {
      if (context.job.attempt > 1) return run(context);
      throw new RetryableError('Flaky', 'Not yet');
    };
    await start();
    const job = newJob({ backoff: { baseMs: 4_000, maxMs: 4_000 } });
    await acceptJobs(world.ledger.db, [job]);
    const waiting = await world.seen(job.id, (object) => object?.status?.phase === 'Pending');
    expect(conditionOf(waiting, 'Scheduled')).toMatchObject({ status: 'False', reason: 'BackingOff' });
    expect(waiting?.status).toMatchObject({ attempts: 1, error: { code: 'Flaky' } });
    await world.seen(job.id, (object) => object?.status?.phase === 'Running');
    open();
    const ended = await world.seen(job.id, (object) => object?.status?.phase === 'Succeeded');
    expect(ended?.status).toMatchObject({ attempts: 2 });
    expect(ended?.status?.error).toBeUndefined();
    expect(conditionOf(ended, 'Scheduled')).toBeUndefined();
  });

  it('is cancelled by spec.cancel and by REST', async () => {
    world.run = gate().run;
    await start();
    const [byKubectl, byRest] = [newJob(), newJob()];
    await acceptJobs(world.ledger.db, [byKubectl, byRest]);
    await waitFor(
      () => world.starts.size,
      (size) => size === 2,
    );
    await world.seen(byKubectl.id, (object) => object !== null);
    await world.patch(byKubectl.id, { spec: { cancel: true } });
    await cancelJobs(world.ledger.db, 'default', [byRest.id]);
    for (const { id } of [byKubectl, byRest]) {
      expect(await world.ended(id)).toMatchObject({ status: 'CANCELLED' });
      const shown = await world.seen(id, (object) => object?.status?.phase === 'Cancelled');
      expect(conditionOf(shown, 'Finished')).toMatchObject({ status: 'True', reason: 'Cancelled' });
    }
  });

  it('that is retried is shown as unfinished again', async () => {
    const { open, run } = gate();
    world.run = (context) => {
      if (context.job.attempt === 1) throw new TerminalError('Broken', 'It is broken');
      return run(context);
    };
    await start();
    const job = newJob();
    await acceptJobs(world.ledger.db, [job]);
    const failed = await world.seen(job.id, (object) => object?.status?.phase === 'Failed');
    expect(failed?.status?.error).toEqual({ code: 'Broken', message: 'It is broken' });
    await retryJobs(world.ledger.db, 'default', [job.id]);
    const again = await world.seen(job.id, (object) => conditionOf(object, 'Finished')?.status === 'False');
    expect(again?.status?.completionTime).toBeUndefined();
    open();
    await world.seen(job.id, (object) => object?.status?.phase === 'Succeeded');
  });

  it('whose QueueJob is deleted gets it again and runs once, 500 at a time', async () => {
    const { open, run } = gate();
    world.run = run;
    // Longer than 500 handlers may keep a machine from renewing their leases.
    world.createController({ leaseSeconds: 30, cluster: { resyncMs: 3_000 } }).startLeading();
    await world.startWorker(300);
    const jobs = Array.from({ length: 500 }, (_, n) => newJob({ input: { n } }));
    await acceptJobs(world.ledger.db, jobs);
    const all = (names: string[]) => names.length === jobs.length;
    await waitFor(() => world.names(), all, { timeoutMs: 30_000, describe: '500 QueueJobs' });
    const first = await world.read(jobs[0]?.id ?? '');
    await world.kubectl(['delete', 'qj', '--all', '--wait=false']);
    await world.seen(
      jobs[0]?.id ?? '',
      (object) => object !== null && object.metadata.uid !== first?.metadata.uid,
    );
    await waitFor(() => world.names(), all, { timeoutMs: 30_000, describe: '500 QueueJobs again' });
    open();
    for (const job of jobs) expect(await world.ended(job.id)).toMatchObject({ status: 'SUCCESS' });
    for (const job of jobs) expect(world.starts.get(job.id)).toBe(1);
  });
});

describe('an applied QueueJob', () => {
  it('is adopted, run, waited for, and shows its end', async () => {
    await start();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await world.apply(
      'hello',
      { type: 'echo', input: { message: 'hi' } },
      { 'longshore.dev/traceparent': traceparent },
    );
    await world.waitFinished('hello');
    const object = await world.read('hello');
    const job = await world.jobOf('hello');
    expect(job).toMatchObject({ status: 'SUCCESS', result: { message: 'hi' }, traceparent });
    expect(object?.metadata.annotations?.['longshore.dev/job-id']).toBe(job?.id);
    expect(object?.metadata.finalizers).toEqual(['longshore.dev/cancel-job']);
    expect(object?.status).toMatchObject({ phase: 'Succeeded', jobId: job?.id, attempts: 1 });
    expect(world.controller.writesOf('hello').map(({ method }) => method)).toEqual(['PATCH', 'PATCH']);
    await world.kubectl(['delete', 'qj/hello', '--timeout=20s']);
    expect(await world.read('hello')).toBeNull();
  });

  it.each([
    ['wrong', { type: 'echo', input: { message: 7 } }, 'InvalidInput', '/spec/input/message: must be a text'],
    ['nul', { type: 'echo', input: { message: 'a\0b' } }, 'InvalidInput', '/spec/input/message'],
    ['large', { type: 'echo', input: { message: 'x'.repeat(9_000) } }, 'InputTooLarge', '8192'],
    ['unknown', { type: 'no-such-type' }, 'InvalidSpec', '/spec/type'],
    ['fileless', { type: 'develop' }, 'InvalidInput', '/spec/type: needs a file'],
    [
      'webhook',
      { type: 'echo', webhook: { url: 'https://169.254.169.254/' } },
      'InvalidSpec',
      '/spec/webhook/url',
    ],
  ])('that is refused (%s) says why, is finished and leaves no job', async (name, spec, reason, message) => {
    await start();
    await world.apply(name, spec);
    await world.waitFinished(name);
    const object = await world.read(name);
    expect(conditionOf(object, 'Accepted')).toMatchObject({ status: 'False', reason });
    expect(conditionOf(object, 'Accepted')?.message).toContain(message);
    expect(object?.status?.phase).toBe('Failed');
    expect(await world.jobOf(name)).toBeNull();
    await world.kubectl(['delete', `qj/${name}`, '--timeout=20s']);
  });

  it('waits while it is suspended and goes on when it is not', async () => {
    await start();
    await world.apply('held', { type: 'echo', suspend: true });
    const held = await world.seen(
      'held',
      (object) => conditionOf(object, 'Scheduled')?.reason === 'Suspended',
    );
    expect(held?.status?.phase).toBe('Pending');
    expect(await world.jobOf('held')).toMatchObject({ status: 'CREATED', suspended: true });
    await world.patch('held', { spec: { suspend: false } });
    await world.waitFinished('held');
    expect(await world.jobOf('held')).toMatchObject({ status: 'SUCCESS' });
  });

  it('is cancelled when it is deleted, and goes when its job has ended', async () => {
    world.run = gate().run;
    await start();
    await world.apply('running', { type: 'echo' });
    await waitFor(
      () => world.starts.size,
      (size) => size === 1,
    );
    await world.kubectl(['delete', 'qj/running', '--timeout=30s']);
    expect(await world.jobOf('running')).toMatchObject({ status: 'CANCELLED' });
    const { rows } = await world.ledger.db.query('select in_window, projected from jobs');
    expect(rows).toEqual([{ in_window: false, projected: false }]);
  });

  it('with an idempotency key that is created again shows the first result and runs nothing', async () => {
    await start();
    const spec = { type: 'echo', input: { message: 'once' }, idempotencyKey: 'order-1' };
    await world.apply('first', spec);
    await world.waitFinished('first');
    const job = await world.jobOf('first');
    await world.kubectl(['delete', 'qj/first', '--timeout=20s']);
    await world.apply('first', spec);
    await world.apply('second', spec);
    for (const name of ['first', 'second']) {
      await world.waitFinished(name);
      const object = await world.read(name);
      expect(object?.status).toMatchObject({ phase: 'Succeeded', jobId: job?.id });
      expect(conditionOf(object, 'Accepted')).toMatchObject({ status: 'True', reason: 'SameJob' });
    }
    await world.apply('other', { ...spec, input: { message: 'twice' } });
    await world.waitFinished('other');
    expect(conditionOf(await world.read('other'), 'Accepted')).toMatchObject({
      reason: 'IdempotencyKeyConflict',
    });
    expect([...world.starts.values()]).toEqual([1]);
    for (const name of ['first', 'second', 'other'])
      await world.kubectl(['delete', `qj/${name}`, '--timeout=20s']);
  });

  it('gets its job id back when somebody changes the annotation', async () => {
    world.run = gate().run;
    await start();
    await world.apply('tampered', { type: 'echo' }, { 'longshore.dev/job-id': 'not-mine' });
    const id = await waitFor(
      async () => (await world.jobOf('tampered'))?.id ?? '',
      (text) => text !== '',
    );
    const own = (object: Awaited<ReturnType<typeof world.read>>) =>
      object?.metadata.annotations?.['longshore.dev/job-id'] === id;
    await world.seen('tampered', own);
    await world.patch('tampered', { metadata: { annotations: { 'longshore.dev/job-id': 'again' } } });
    await world.seen('tampered', own);
  });

  it('of a type that nobody serves says so, and runs when somebody does', async () => {
    world.createController().startLeading();
    await world.apply('unserved', { type: 'echo' });
    const object = await world.seen('unserved', (o) => conditionOf(o, 'Scheduled') !== undefined);
    expect(conditionOf(object, 'Scheduled')).toMatchObject({ status: 'False', reason: 'NoWorkerPool' });
    expect(conditionOf(object, 'Accepted')).toMatchObject({ status: 'True' });
    await world.startWorker();
    await world.waitFinished('unserved');
  });
});

describe('the window', () => {
  it('lets finished QueueJobs go for new ones, ours before applied ones', async () => {
    await start({ windowSize: 20 });
    await world.apply('kept', { type: 'echo' });
    await world.waitFinished('kept');
    const jobs = Array.from({ length: 80 }, () => newJob({ ttlSecondsAfterFinished: 3_600 }));
    await acceptJobs(world.ledger.db, jobs);
    let most = 0;
    await waitFor(
      async () => {
        most = Math.max(most, (await world.names()).length);
        const found = await Promise.all(jobs.map(({ id }) => getJob(world.ledger.db, 'default', id)));
        return found.filter((job) => job?.status === 'SUCCESS').length;
      },
      (count) => count === jobs.length,
      { timeoutMs: 40_000, describe: '80 ends' },
    );
    expect(most).toBeLessThanOrEqual(20);
    // One more was never needed to go on.
    expect(await world.read('kept')).not.toBeNull();
  });

  it('has room for more applied QueueJobs than it is large', async () => {
    await start({ windowSize: 10 });
    const objects = Array.from({ length: 30 }, (_, n) => ({
      apiVersion: 'longshore.dev/v1alpha1',
      kind: 'QueueJob',
      metadata: { name: `many-${n}`, namespace: 'default' },
      spec: { type: 'echo', ttlSecondsAfterFinished: 3_600 },
    }));
    const rest = newJob();
    await acceptJobs(world.ledger.db, [rest]);
    await world.kubectl(
      ['create', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
    );
    await world.kubectl([
      'wait',
      '--for=condition=Finished',
      '--timeout=40s',
      ...objects.map((o) => `qj/${o.metadata.name}`),
    ]);
    await world.ended(rest.id);
  });
});
