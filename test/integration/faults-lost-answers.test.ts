import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../support/fault-plan.ts';
import { FaultWorld } from '../support/fault-world.ts';

/** Each statement of an ordinary job's way, its answer lost before and after it was executed, several times. */
let world: FaultWorld;

beforeEach(async () => {
  world = await FaultWorld.start();
});
afterEach(() => world.close());

const FAULTS: Fault[] = ['before', 'after'];

describe.each(FAULTS)('the connection breaks %s a statement is executed', (fault) => {
  it('accept, of single jobs', async () => {
    await world.run();
    world.pg.plan({ name: 'accept', fault, every: 2, times: 8 });
    for (let n = 0; n < 17; n += 1) await world.submit({ n });
    const report = await world.expectHeld(8);
    expect(report.counts).toMatchObject({ lost: 0, duplicated: 0 });
  });

  it('accept, of merged inserts', async () => {
    await world.run();
    world.pg.plan({ name: 'accept', fault, every: 2, times: 4 });
    while (injections() < 4) await world.submitAll(40);
    await world.expectHeld(4);
  });

  it.each(['admit', 'claim', 'commit', 'waiting', 'window'])('%s', async (name) => {
    await world.run();
    world.pg.plan({ name, fault, every: 2, times: 6 });
    for (let round = 0; round < 40 && injections() < 6; round += 1) {
      await world.submitAll(5);
      await world.settle();
    }
    await world.expectHeld(6);
  });

  it('dispatch, after back-off', async () => {
    await world.run();
    world.pg.plan({ name: 'dispatch', fault, every: 3, times: 6 });
    for (let round = 0; round < 20 && injections() < 6; round += 1) {
      await world.submitAll(5, { failBelowAttempt: 3 });
      await world.settle();
    }
    await world.expectHeld(6);
  });

  it('renew, under running jobs', async () => {
    await world.run();
    world.pg.plan({ name: 'renew', fault, every: 2, times: 6 });
    while (injections() < 4) await world.submitAll(10, { runMs: 2_500 }).then(() => world.settle());
    await world.expectHeld(4);
    expect(await interruptions(), 'a lost renewal costs no delivery').toBe(0);
  });

  it('commit, of a hand-back', async () => {
    await world.run();
    world.pg.plan({ name: 'commit', fault, every: 2, times: 6 });
    for (let round = 0; round < 40 && injections() < 6; round += 1) {
      await world.submitAll(4, { handBackOnce: true });
      await world.settle();
    }
    await world.expectHeld(6);
    expect(await interruptions()).toBe(0);
  });

  it('cancel, of waiting and of running jobs', async () => {
    await world.run();
    world.pg.plan({ name: 'cancel', fault, every: 2, times: 6 });
    const running = await world.submitAll(10, { runMs: 20_000 });
    const waiting = await world.submitAll(10, { runMs: 20_000 });
    for (const id of [...running, ...waiting]) await world.ask('cancel', id);
    await world.expectHeld(6);
  });

  it('retry, of cancelled jobs: one further attempt each', async () => {
    const ids = await world.submitAll(10);
    for (const id of ids) await world.ask('cancel', id);
    world.pg.plan({ name: 'retry', fault, every: 2, times: 6 });
    for (const id of ids) await world.ask('retry', id);
    await world.run();
    await world.expectHeld(6);
    const { rows } = await world.ledger.db.query(
      'select attempt, status, count(*)::integer from jobs group by 1, 2',
    );
    expect(rows).toEqual([{ attempt: 2, status: 'SUCCESS', count: 10 }]);
  });

  it('recover, of jobs whose worker is gone', async () => {
    const ids = await world.submitAll(20);
    const ghost = world.ledger.worker('ghost', 1);
    await ghost.claim(ids.map((id) => ({ id, lease: 0 })));
    world.pg.plan({ name: 'recover', fault, nth: 1 });
    world.pg.plan({ name: 'recover', fault, every: 1, times: 3 });
    await world.run();
    await world.expectHeld(2);
    const { rows } = await world.ledger.db.query('select sum(interruptions)::integer as n from jobs');
    expect(rows[0]?.n, 'each was interrupted once').toBe(20);
  });
});

describe('everything at once', () => {
  it('2 % of all statements fail before or after, for 400 jobs', async () => {
    await world.run();
    await world.submitAll(20);
    for (const name of [
      'accept',
      'accept-lookup',
      'admit',
      'dispatch',
      'claim',
      'renew',
      'commit',
      'recover',
      'window',
    ]) {
      world.pg.plan({ name, fault: 'after', every: 7 });
      world.pg.plan({ name, fault: 'before', every: 11 });
    }
    for (let round = 0; round < 10; round += 1) await world.submitAll(40, { failBelowAttempt: round % 3 });
    await world.expectHeld(10);
  });

  it('a run in which nothing was injected proves nothing', async () => {
    await world.run();
    await world.submitAll(5);
    await world.settle();
    expect((await world.judge()).verdict).toBe('proved-nothing');
  });
});

function injections(): number {
  return world.decisions().filter((decision) => decision.verified).length;
}

async function interruptions(): Promise<number> {
  const { rows } = await world.ledger.db.query(
    "select count(*)::integer as n from attempts where outcome = 'expired'",
  );
  return rows[0]?.n ?? 0;
}
