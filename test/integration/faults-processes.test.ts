import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FaultProcess, ProcessWorld } from '../support/fault-processes.ts';
import { waitFor } from '../support/wait-for.ts';

/** Processes that are killed and stopped at the worst moments. */
let world: ProcessWorld;

beforeEach(async () => {
  world = await ProcessWorld.start();
});
afterEach(() => world.close());

const many = (count: number, input: object = {}) =>
  Array.from({ length: count }, (_, n) => ({ n, ...input }));

async function leasedBy(worker: FaultProcess): Promise<string[]> {
  const { rows } = await world.ledger.db.query<{ id: string }>(
    "select id from jobs where lease_until is not null and worker like '%-' || $1 || '-%'",
    [worker.pid],
  );
  return rows.map(({ id }) => id);
}

describe('a worker', () => {
  it('killed in the middle of its jobs loses none: they run again after the lease, at no cost', async () => {
    await world.spawn('controller');
    let victim = await world.spawn('worker');
    await world.spawn('worker');
    await world.accept(many(60, { runMs: 400 }));
    const waits: number[] = [];
    for (let kill = 0; kill < 3; kill += 1) {
      const held = await waitFor(async () => holdsSome(await leasedBy(victim)), {
        describe: 'jobs of the victim',
      });
      await victim.signal('SIGKILL');
      const killedAt = performance.now();
      world.recorder.injected('SIGKILL worker', held);
      const [next] = await Promise.all([world.spawn('worker'), restarted(held)]);
      waits.push(Math.round(performance.now() - killedAt));
      victim = next;
      if (kill < 2) await world.accept(many(20, { runMs: 400 }));
    }
    console.info(`Jobs of a killed worker ran again after ${waits.join(', ')} ms (lease 3,000 ms)`);
    const report = await world.expectHeld(3);
    expect(report.counts).toMatchObject({ lost: 0, duplicated: 0, charged: 0 });
  });

  it('stopped past its lease and continued commits nothing: its job has the other result', async () => {
    await world.spawn('controller');
    const zombie = await world.spawn('worker');
    await world.accept(many(4, { runMs: 1_500 }));
    const held = await waitFor(async () => holdsSome(await leasedBy(zombie)), {
      describe: 'jobs of the zombie',
    });
    await zombie.signal('SIGSTOP');
    world.recorder.injected('SIGSTOP worker', held);
    await world.spawn('worker');
    await world.settle();
    await zombie.signal('SIGCONT');
    world.recorder.injected('SIGCONT worker', held);
    await waitFor(
      () => zombie.log.filter((line) => /"fenced"|lease was lost/.test(line)).length >= held.length,
      {
        describe: 'the zombie to see that its leases are lost',
      },
    );
    const report = await world.expectHeld(2);
    expect(report.counts).toMatchObject({ duplicated: 0, charged: 0 });
    // It is of use again.
    await world.accept(many(20, { runMs: 50 }));
    await world.settle();
  });

  it('whose job kills it again and again is rid of that job in the end', async () => {
    await world.spawn('controller');
    const [poison] = await world.accept([{ poison: 'exit' }]);
    const neighbours = await world.accept(many(10));
    let deaths = 0;
    let worker = await world.spawn('worker');
    await waitFor(
      async () => {
        if (worker.hasExited) {
          deaths += 1;
          world.recorder.injected('process.exit in a handler', [poison ?? '']);
          worker = await world.spawn('worker').catch(() => worker);
        }
        const { rows } = await world.ledger.db.query('select status from jobs where id = $1', [poison]);
        return rows[0]?.status === 'ERROR';
      },
      { timeoutMs: 60_000, describe: 'the end of the poisonous job' },
    );
    const jobs = await world.settle();
    expect(jobs.find(({ id }) => id === poison)).toMatchObject({
      error: { code: 'TooManyInterruptions' },
      failures: 0,
    });
    expect(jobs.filter(({ id }) => neighbours.includes(id)).map(({ status }) => status)).toEqual(
      neighbours.map(() => 'SUCCESS'),
    );
    expect(deaths).toBe(5);
    await world.expectHeld(5);
  }, 90_000);

  it('told to leave while Redis is away ends in time and hands its jobs back', async () => {
    await world.spawn('controller');
    const worker = await world.spawn('worker');
    await world.accept(many(4, { runMs: 20_000 }));
    await waitFor(async () => (await leasedBy(worker)).length === 4, { describe: 'running jobs' });
    world.redis.down();
    world.recorder.injected('Redis unreachable');
    const tookMs = await worker.signal('SIGTERM');
    expect(tookMs, 'ms until the process has ended').toBeLessThan(12_000);
    const { rows } = await world.ledger.db.query(
      'select outcome, count(*)::integer from attempts group by 1',
    );
    expect(rows).toEqual([{ outcome: 'handed_back', count: 4 }]);
  });
});

describe('a controller', () => {
  it('killed while it leads is followed by the other', async () => {
    const [one, two] = [await world.spawn('controller'), await world.spawn('controller')];
    await world.spawn('worker');
    await world.accept(many(40, { runMs: 100 }));
    const leader = await waitFor(
      () => [one, two].find(({ log }) => log.some((line) => line.includes('Became the leader'))),
      {
        describe: 'a leader',
      },
    );
    await leader.signal('SIGKILL');
    world.recorder.injected('SIGKILL controller');
    const killedAt = performance.now();
    await world.accept(many(40, { runMs: 100 }));
    await world.settle();
    console.info(
      `The other controller had done the work ${Math.round(performance.now() - killedAt)} ms after the kill`,
    );
    await world.expectHeld(1);
  });

  it('killed before and after each of its writes leaves nothing behind', async () => {
    await world.spawn('worker');
    for (const name of ['admit', 'dispatch', 'recover', 'release-delayed']) {
      for (const fault of ['before', 'after'] as const) {
        const controller = await world.spawn('controller');
        const planned = world.pg.plan({ name, fault, onInjected: () => void controller.signal('SIGKILL') });
        await world.accept(many(5, { failBelowAttempt: 2 }));
        await waitFor(() => planned.verified === 1 && controller.hasExited, {
          timeoutMs: 15_000,
          describe: `the controller to be killed ${fault} ${name}`,
        });
      }
    }
    await world.spawn('controller');
    await world.expectHeld(8);
  }, 90_000);
});

describe('an API process', () => {
  it.each(['before', 'after'] as const)(
    'killed %s the commit of a job: the same key makes one job',
    async (fault) => {
      await Promise.all([world.spawn('controller'), world.spawn('worker')]);
      const api = await world.spawn('api');
      await world.apiIsReady();
      world.pg.plan({ name: 'accept', fault, onInjected: () => void api.signal('SIGKILL') });
      const { status } = await world.post(
        { n: 1 },
        {
          beforeRetry: async () => {
            if (world.processes.filter(({ role }) => role === 'api').length === 1) await world.spawn('api');
            await world.apiIsReady();
          },
        },
      );
      expect(status, 'the job of the first try, or a new one').toBe(fault === 'after' ? 200 : 201);
      await world.expectHeld(1);
      const { rows } = await world.ledger.db.query('select count(*)::integer as n from jobs');
      expect(rows[0]?.n).toBe(1);
    },
  );
});

function holdsSome(ids: string[]): string[] | null {
  return ids.length > 0 ? ids : null;
}

/** Waits until the jobs have ended, or have been started once more. */
async function restarted(ids: readonly string[]): Promise<void> {
  const before = await leases(ids);
  await waitFor(
    async () =>
      (await leases(ids)).every(({ lease, ended }, index) => ended || lease > (before[index]?.lease ?? 0)),
    { timeoutMs: 20_000, describe: 'the jobs of the victim to be started again' },
  );
}

async function leases(ids: readonly string[]): Promise<{ lease: number; ended: boolean }[]> {
  const { rows } = await world.ledger.db.query<{ lease: number; ended: boolean }>(
    'select lease, finished_at is not null as ended from jobs where id = any ($1) order by id',
    [ids],
  );
  return rows;
}
