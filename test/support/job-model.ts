import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { isFinal } from '../../src/core/job.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { admitJobs, recoverLeases, takeDispatches } from '../../src/ledger/admission.ts';
import { cancelJobs, retryJobs, suspendJob } from '../../src/ledger/jobs.ts';
import type { Outcome, WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { type Believed, claimVerdict, expectLedgerAgrees, newlyAccepted } from './job-invariants.ts';
import { type Step, settle, toOutcome } from './job-steps.ts';
import { newJob, type TestLedger } from './ledger.ts';

/** A delivery that some worker believes to hold. */
interface Delivery {
  id: string;
  lease: number;
  worker: number;
  committed: Outcome['outcome'] | null;
}

const LEASE_SECONDS = 30;
const MAX_INTERRUPTIONS = 3;

/** A few jobs: the real functions change them, the model says what must have become of them. Zombies commit too. */
export class JobModel {
  readonly #ledger: TestLedger;
  readonly #workers: WorkerLedger[];
  readonly #jobs: Believed[] = [];
  readonly #deliveries: Delivery[] = [];

  constructor(ledger: TestLedger, workers: WorkerLedger[]) {
    this.#ledger = ledger;
    this.#workers = workers;
  }

  /** Takes a step; answers its effect in words. A step without anything to apply to is `nothing`. */
  async take(step: Step): Promise<string> {
    if (step.do === 'submit') return this.#submit(step);
    const job = this.#jobs[step.pick % Math.max(1, this.#jobs.length)];
    if (job === undefined) return 'nothing';
    const delivery = this.#deliveries.at(
      step.pick % 3 === 0 ? -1 - (step.pick % this.#deliveries.length) : -1,
    );
    switch (step.do) {
      case 'admit':
        return this.#admit();
      case 'dispatch':
        return this.#dispatch(job);
      case 'lose-message':
        return this.#loseMessage(job);
      case 'recover':
        return this.#recover();
      case 'expire':
        return this.#expire(job);
      case 'crash':
        return this.#expire(job).then(() => this.#recover());
      case 'cancel':
        return this.#cancel(job);
      case 'retry':
        return this.#retry(job);
      case 'suspend':
        return this.#suspend(job, step.suspended);
      case 'claim':
        return this.#claim(job, step);
      case 'renew':
        return delivery === undefined ? 'nothing' : this.#renew(delivery, step.progress);
      case 'commit':
        return delivery === undefined ? 'nothing' : this.#commit(delivery, step);
      default:
        return step satisfies never;
    }
  }

  /** The ledger is what the model believes, and its history adds up. */
  async check(): Promise<void> {
    await expectLedgerAgrees(this.#ledger.db, this.#jobs);
  }

  /** Whatever has happened, each job still can be brought to an end by an ordinary worker. */
  async expectAllCanEnd(): Promise<void> {
    for (const job of this.#jobs) await this.#suspend(job, false);
    for (let round = 0; this.#jobs.some((job) => !isFinal(job.status)); round += 1) {
      expect(round, 'rounds until every job has ended').toBeLessThan(4);
      for (const job of this.#jobs) await this.#expire(job);
      await this.#recover();
      await this.#admit();
      await this.#makeDue();
      for (const job of this.#jobs.filter(({ status }) => !isFinal(status))) {
        const effect = await this.#claim(job, { entry: 'newest', again: false, worker: 0 });
        expect(effect).toBe('claimed');
        const delivery = this.#deliveries.at(-1);
        if (delivery !== undefined) await this.#commit(delivery, { outcome: 'succeeded', retryable: false });
      }
    }
    await this.check();
  }

  #ids(): string[] {
    return this.#jobs.map(({ id }) => id);
  }

  async #submit(step: Extract<Step, { do: 'submit' }>): Promise<string> {
    const former = step.again ? this.#jobs[step.pick % Math.max(1, this.#jobs.length)] : undefined;
    if (former === undefined && this.#jobs.length >= 4) return 'nothing';
    const key = former?.key ?? randomUUID();
    const job = newJob({
      retries: step.retries,
      uniqueKey: { scope: 'idempotency', key, bodySha256: 'same', ttlSeconds: 600 },
    });
    const [accepted] = await acceptJobs(this.#ledger.db, [job]);
    if (former !== undefined) {
      expect(accepted).toEqual({ jobId: former.id, outcome: 'existing' });
      return 'accepted again';
    }
    expect(accepted).toEqual({ jobId: job.id, outcome: 'created' });
    this.#jobs.push(newlyAccepted({ id: job.id, key, retries: step.retries }));
    return 'accepted';
  }

  async #admit(): Promise<string> {
    const admitted = await admitJobs(this.#ledger.db, [{ namespace: 'default', type: 'echo', count: 100 }], {
      dispatch: false,
    });
    for (const { id } of admitted) {
      const job = this.#jobs.find((other) => other.id === id);
      // Jobs of other runs share the table; those of this one must be fit for the window.
      if (job !== undefined) expect([isFinal(job.status), job.suspended]).toEqual([false, false]);
    }
    return 'admitted';
  }

  async #dispatch(job: Believed): Promise<string> {
    const [taken] = await takeDispatches(this.#ledger.db, { limit: 1, ids: [job.id] });
    if (taken === undefined) return 'not dispatched';
    expect([taken.lease, taken.attempt]).toEqual([job.lease, job.attempt]);
    expect([job.live, job.suspended, isFinal(job.status)]).toEqual([false, false, false]);
    return 'dispatched';
  }

  async #loseMessage(job: Believed): Promise<string> {
    // The same delivery is put onto the queue again: nothing of the job may change by it.
    await this.#ledger.db.query(
      'update jobs set dispatched_at = null where id = $1 and finished_at is null',
      [job.id],
    );
    return this.#dispatch(job).then((effect) => `message lost, ${effect}`);
  }

  async #expire(job: Believed): Promise<string> {
    await this.#ledger.db.query(
      "update jobs set lease_until = now() - interval '1 second' where id = $1 and lease_until is not null",
      [job.id],
    );
    return 'lease expired';
  }

  async #makeDue(): Promise<void> {
    await this.#ledger.db.query('update jobs set run_at = least(run_at, now()) where id = any ($1)', [
      this.#ids(),
    ]);
  }

  async #recover(): Promise<string> {
    const recovered = await recoverLeases(this.#ledger.db, {
      leaseSeconds: LEASE_SECONDS,
      maxInterruptions: MAX_INTERRUPTIONS,
      limit: 100,
    });
    for (const { jobId, outcome } of recovered) {
      const job = this.#jobs.find(({ id }) => id === jobId);
      if (job === undefined) continue;
      expect(job.live).toBe(true);
      job.live = false;
      job.version += 1;
      const expected = job.cancelRequested
        ? 'cancelled'
        : job.interruptions + 1 >= MAX_INTERRUPTIONS
          ? 'failed'
          : 'reopened';
      expect(outcome).toBe(expected);
      if (outcome === 'cancelled') job.status = 'CANCELLED';
      if (outcome === 'failed') job.status = 'ERROR';
      if (outcome === 'reopened') job.interruptions += 1;
    }
    return `recovered ${recovered[0]?.outcome ?? 'nothing'}`;
  }

  async #cancel(job: Believed): Promise<string> {
    const outcome = (await cancelJobs(this.#ledger.db, 'default', [job.id])).get(job.id);
    if (isFinal(job.status)) {
      expect(outcome).toBe('finished');
      return 'cancel refused';
    }
    expect(outcome).toBe(job.live ? 'requested' : 'cancelled');
    if (!job.live) job.status = 'CANCELLED';
    if (!job.live || !job.cancelRequested) job.version += 1;
    job.cancelRequested ||= job.live;
    return job.live ? 'cancel requested' : 'cancelled';
  }

  async #retry(job: Believed): Promise<string> {
    const outcome = (await retryJobs(this.#ledger.db, 'default', [job.id])).get(job.id);
    if (job.status === 'SUCCESS') expect(outcome).toBe('succeeded');
    else if (!isFinal(job.status)) expect(outcome).toBe('unfinished');
    else {
      expect(outcome).toBe('retried');
      Object.assign(job, {
        status: 'CREATED',
        attempt: job.attempt + 1,
        failures: 0,
        interruptions: 0,
        cancelRequested: false,
        version: job.version + 1,
      });
    }
    return outcome ?? 'missing';
  }

  async #suspend(job: Believed, suspended: boolean): Promise<string> {
    const changed = await suspendJob(this.#ledger.db, job.id, suspended);
    expect(changed).toBe(!isFinal(job.status) && job.suspended !== suspended);
    if (!changed) return 'not suspended';
    job.suspended = suspended;
    job.version += 1;
    return suspended ? 'suspended' : 'resumed';
  }

  async #claim(
    job: Believed,
    step: Pick<Extract<Step, { do: 'claim' }>, 'entry' | 'again' | 'worker'>,
  ): Promise<string> {
    await this.#makeDue();
    const lease = Math.max(0, step.entry === 'newest' ? job.lease : job.lease - 1);
    const again = step.again && step.entry === 'duplicate';
    const [answer] = (await this.#workers[step.worker]?.claim([{ id: job.id, lease, again }])) ?? [];
    if (answer === undefined) throw new Error('claim answered nothing');
    const regrant = again && job.live && lease === job.lease - 1 && job.worker === step.worker;
    if ('refused' in answer) {
      expect(regrant).toBe(false);
      expect(answer.refused).toBe(claimVerdict(job, lease));
      return `refused ${answer.refused}`;
    }
    expect(answer.lease).toBe(lease + 1);
    if (regrant) return 'claimed again';
    expect(claimVerdict(job, lease)).toBe('claimed');
    Object.assign(job, {
      status: 'PROCESS',
      lease: lease + 1,
      live: true,
      worker: step.worker,
      version: job.version + 1,
    });
    this.#deliveries.push({ id: job.id, lease: job.lease, worker: step.worker, committed: null });
    return 'claimed';
  }

  async #renew(delivery: Delivery, progress: boolean): Promise<string> {
    const job = this.#jobOf(delivery);
    const held = {
      id: delivery.id,
      lease: delivery.lease,
      ...(progress ? { progress: { fraction: 0.5, message: 'half' } } : {}),
    };
    const session = { types: ['echo'], concurrency: 1 };
    const verdict = (await this.#workers[delivery.worker]?.renew([held], session))?.get(delivery.id);
    if (!job.live || job.lease !== delivery.lease) {
      expect(verdict).toBe('lost');
      return 'renewal lost';
    }
    expect(verdict).toBe(job.cancelRequested ? 'cancel' : 'renewed');
    if (progress) Object.assign(job, { interruptions: 0, version: job.version + 1 });
    return verdict === 'cancel' ? 'told to cancel' : 'renewed';
  }

  async #commit(
    delivery: Delivery,
    step: { outcome: Outcome['outcome']; retryable: boolean },
  ): Promise<string> {
    const job = this.#jobOf(delivery);
    const outcome = toOutcome(step);
    const [answer] =
      (await this.#workers[delivery.worker]?.commit([
        { id: delivery.id, lease: delivery.lease, ...outcome },
      ])) ?? [];
    if (!job.live || job.lease !== delivery.lease) {
      const again = delivery.committed === step.outcome;
      expect(answer?.verdict).toBe(again ? 'committed' : 'fenced');
      return again ? 'answered again' : 'fenced';
    }
    // A cancelled job is not a success any more; a failure stays what it was.
    delivery.committed = job.cancelRequested && step.outcome !== 'failed' ? 'cancelled' : step.outcome;
    settle(job, step);
    expect(answer).toEqual({ verdict: 'committed', status: job.status });
    return `committed ${delivery.committed}`;
  }

  #jobOf(delivery: Delivery): Believed {
    const job = this.#jobs.find(({ id }) => id === delivery.id);
    if (job === undefined) throw new Error('a delivery of no job');
    return job;
  }
}
