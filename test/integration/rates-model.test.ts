import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { recoverLeases } from '../../src/ledger/admission.ts';
import type { WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';
import { type ClaimedRound, claimRound, roundUnder, track } from '../support/rates.ts';

/** A random life of rounds: whatever is lost, repeated or late, each pair is kept once a round, and only under the lease. */
type Step =
  | { do: 'begin' }
  | { do: 'commit'; delivery: number; pairs: number[] }
  | { do: 'crash'; delivery: number }
  | { do: 'add' };

const PAIRS = 3;
const INTERVAL_SECONDS = 10;

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Step>({ do: 'begin' }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      delivery: fc.nat(20),
      pairs: fc.uniqueArray(fc.nat(PAIRS), { minLength: 1 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash' as const), delivery: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'add' }) },
);

interface Delivery {
  round: ClaimedRound;
  slot: number;
  live: boolean;
}

class RoundModel {
  readonly #ledger: TestLedger;
  readonly #worker: WorkerLedger;
  readonly #provider = `p${Math.random().toString(36).slice(2, 10)}`;
  readonly #deliveries: Delivery[] = [];
  /** By pair: the slot that dealt with it last, and how many prices were kept. */
  readonly #pairs: { id: number; slot: number; kept: number; price: string | null }[] = [];
  #slot = 0;
  #price = 0;

  constructor(ledger: TestLedger, worker: WorkerLedger) {
    this.#ledger = ledger;
    this.#worker = worker;
  }

  async take(step: Step): Promise<void> {
    if (step.do === 'begin') return this.#begin();
    if (step.do === 'add') return this.#add();
    const delivery = this.#deliveries[step.delivery % Math.max(1, this.#deliveries.length)];
    if (delivery === undefined) return;
    if (step.do === 'crash') return this.#crash(delivery);
    return this.#commit(delivery, step.pairs);
  }

  async #add(): Promise<void> {
    if (this.#pairs.length > PAIRS) return;
    await track(this.#ledger, `${this.#provider} C${this.#pairs.length}-USDT`, {
      intervalSeconds: INTERVAL_SECONDS,
    });
    const { rows } = await this.#ledger.db.query('select max(id) as id from trade_info');
    this.#pairs.push({ id: rows[0].id, slot: -1, kept: 0, price: null });
  }

  async #begin(): Promise<void> {
    const offsetSeconds = this.#slot * INTERVAL_SECONDS;
    const round = await claimRound(this.#ledger, this.#provider, { offsetSeconds, worker: this.#worker });
    this.#deliveries.push({ round, slot: this.#slot, live: true });
    this.#slot += 1;
  }

  /** The worker is gone: the lease ends, and another delivery of the same round begins. */
  async #crash(delivery: Delivery): Promise<void> {
    if (!delivery.live) return;
    const { db } = this.#ledger;
    const { id, lease } = delivery.round;
    await db.query("update jobs set lease_until = now() - interval '1 second' where id = $1", [id]);
    await recoverLeases(db, { leaseSeconds: 30, maxInterruptions: 1_000, limit: 100 });
    delivery.live = false;
    const [claimed] = await this.#worker.claim([{ id, lease }]);
    if (claimed === undefined || 'refused' in claimed) throw new Error('The round was not given again');
    this.#deliveries.push({
      ...delivery,
      round: roundUnder(this.#worker, { id, lease: claimed.lease }),
      live: true,
    });
  }

  async #commit(delivery: Delivery, picks: number[]): Promise<void> {
    const pairs = this.#pairs.filter((_, n) => picks.includes(n));
    this.#price += 1;
    const price = `${this.#price}`;
    const commit = delivery.round.commit(pairs.map(({ id }) => ({ id, price, ageMs: 0 })));
    if (!delivery.live) {
      await expect(commit).rejects.toMatchObject({ code: '55000' });
      return;
    }
    const due = pairs.filter((pair) => pair.slot < delivery.slot);
    expect(await commit).toBe(due.length);
    for (const pair of due) Object.assign(pair, { slot: delivery.slot, kept: pair.kept + 1, price });
    const left = this.#pairs.filter((pair) => pair.slot < delivery.slot).map(({ id }) => id);
    expect((await delivery.round.take()).map(({ id }) => id)).toEqual(left);
  }

  /** The ledger holds what the model believes: each price that was kept once in the history, and in each roll-up. */
  async check(): Promise<void> {
    const { rows } = await this.#ledger.db.query(
      `select t.id, trim_scale(c.price)::text as price,
         (select count(*)::integer from rate_history h where h.trade_id = t.id) as kept,
         (select coalesce(sum(samples), 0)::integer from rate_bars b where b.trade_id = t.id and step = '1m') as minutes,
         (select coalesce(sum(samples), 0)::integer from rate_bars b where b.trade_id = t.id and step = '1d') as days
       from trade_info t left join current_rates c on c.trade_id = t.id where t.provider = $1 order by t.id`,
      [this.#provider],
    );
    expect(rows).toEqual(
      this.#pairs.map(({ id, kept, price }) => ({ id, price, kept, minutes: kept, days: kept })),
    );
  }
}

let ledger: TestLedger;
let worker: WorkerLedger;
beforeAll(async () => {
  ledger = await createTestLedger(['exchange-rate']);
  worker = ledger.worker();
});
afterAll(() => ledger?.close());

it('keeps each pair once a round, whatever becomes of its deliveries', { timeout: 120_000 }, async () => {
  const seed = Number(process.env.LONGSHORE_TEST_SEED ?? Date.now());
  await fc.assert(
    fc.asyncProperty(fc.array(stepArbitrary, { minLength: 10, maxLength: 40 }), async (steps) => {
      const model = new RoundModel(ledger, worker);
      await model.take({ do: 'add' });
      await model.take({ do: 'add' });
      await model.take({ do: 'begin' });
      for (const step of steps) await model.take(step);
      await model.check();
    }),
    { numRuns: 25, seed, endOnFailure: true },
  );
});
