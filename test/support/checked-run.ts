import { acceptJobs } from '../../src/ledger/accept.ts';
import { admitJobs, recoverLeases } from '../../src/ledger/admission.ts';
import { type AuditOptions, auditLedger } from '../../src/ledger/audit.ts';
import { cancelJobs, retryJobs, suspendJob } from '../../src/ledger/jobs.ts';
import type { ClaimedJob, Outcome, WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { type CheckOptions, checkRun, type RunReport, snapshotLedger } from './checker.ts';
import { newJob, type TestLedger } from './ledger.ts';
import { type LedgerSnapshot, RunRecorder } from './run-records.ts';

export const SUCCESS: Outcome = { outcome: 'succeeded', result: { ok: true }, blobs: [] };
export const RETRYABLE: Outcome = {
  outcome: 'failed',
  error: { code: 'Flaky', message: 'Not yet', retryable: true },
};
export const TERMINAL: Outcome = {
  outcome: 'failed',
  error: { code: 'Bad', message: 'Never', retryable: false },
};
export const HAND_BACK: Outcome = { outcome: 'handed_back', delayMs: 0 };

/** The invariants that do not hold, each once. */
export const brokenOf = (findings: { invariant: string; verdict: string }[]) => [
  ...new Set(findings.filter((f) => f.verdict === 'broken').map((f) => f.invariant)),
];

/** Clients and two workers in one process, without a queue, whose every step is written down for the checker. */
export class CheckedRun {
  readonly recorder = new RunRecorder();
  readonly snapshots: LedgerSnapshot[] = [];
  readonly workers: WorkerLedger[];
  readonly ledger: TestLedger;

  constructor(ledger: TestLedger) {
    this.ledger = ledger;
    this.workers = [ledger.worker('worker-0'), ledger.worker('worker-1')];
  }

  /** The client's side, written down. */
  async submit(overrides: Parameters<typeof newJob>[0] = {}): Promise<string> {
    const job = newJob(overrides);
    const call = this.recorder.invoke('submit', {
      jobId: job.id,
      ...(job.uniqueKey === null ? {} : { key: job.uniqueKey.key, bodySha256: job.uniqueKey.bodySha256 }),
    });
    const [accepted] = await acceptJobs(this.ledger.db, [job]);
    if (accepted?.outcome === 'conflict') call.fail(422);
    else call.ok(accepted?.jobId ?? '', 201);
    return accepted?.jobId ?? '';
  }

  async cancel(id: string): Promise<void> {
    const call = this.recorder.invoke('cancel', { jobId: id });
    await cancelJobs(this.ledger.db, 'default', [id]);
    call.ok(id, 200);
  }

  async retry(id: string): Promise<void> {
    const call = this.recorder.invoke('retry', { jobId: id });
    const outcome = (await retryJobs(this.ledger.db, 'default', [id])).get(id);
    if (outcome === 'retried') call.ok(id, 200);
    else call.fail(409);
  }

  /** The worker's side, seen by the witness. */
  async claim(id: string, worker = 0): Promise<ClaimedJob> {
    await admitJobs(this.ledger.db, [{ namespace: 'default', type: 'echo', count: 1_000 }], {
      dispatch: true,
    });
    await this.ledger.db.query('update jobs set run_at = now() where finished_at is null');
    const { rows } = await this.ledger.db.query('select lease from jobs where id = $1', [id]);
    const [claimed] = await (this.workers[worker] as WorkerLedger).claim([{ id, lease: rows[0].lease }]);
    if (claimed === undefined || 'refused' in claimed)
      throw new Error(`The claim was refused: ${claimed?.refused}`);
    this.recorder.witness('start', {
      jobId: id,
      attempt: claimed.attempt,
      lease: claimed.lease,
      worker: `${worker}`,
    });
    return claimed;
  }

  async commit(job: ClaimedJob, outcome: Outcome, worker = 0): Promise<void> {
    const { id: jobId, lease, attempt } = job;
    this.recorder.witness('end', { jobId, attempt, lease, worker: `${worker}` });
    await (this.workers[worker] as WorkerLedger).commit([{ id: jobId, lease, ...outcome }]);
  }

  async run(id: string, outcome: Outcome, worker = 0): Promise<void> {
    await this.commit(await this.claim(id, worker), outcome, worker);
  }

  async expire(id: string): Promise<void> {
    await this.ledger.db.query(`update jobs set lease_until = now() - interval '1 second' where id = $1`, [
      id,
    ]);
    await recoverLeases(this.ledger.db, { leaseSeconds: 30, maxInterruptions: 5, limit: 10 });
  }

  async look(): Promise<void> {
    this.snapshots.push(await snapshotLedger(this.ledger.db, this.recorder.now()));
  }

  check(options: CheckOptions = {}): Promise<RunReport> {
    const { records } = this.recorder;
    return checkRun(
      this.ledger.db,
      { records, snapshots: this.snapshots },
      { minJobs: 1, minInjections: 0, ...options },
    );
  }

  async audit(options: AuditOptions = {}): Promise<string[]> {
    return brokenOf(await auditLedger(this.ledger.db, options));
  }

  /** Plants a bug: changes the text of a function of the this.ledger. */
  async plant(signature: string, from: string, to: string): Promise<void> {
    const { rows } = await this.ledger.db.query('select pg_get_functiondef($1::regprocedure) as def', [
      signature,
    ]);
    const def = String(rows[0].def);
    if (!def.includes(from)) throw new Error(`${signature} does not contain: ${from}`);
    await this.ledger.db.query(def.replaceAll(from, to));
  }

  /** A run of everything that may happen to a job, without a bug. */
  async runEverything(): Promise<void> {
    const webhook = { url: 'https://example.com/' };
    await this.run(await this.submit({ webhook }), SUCCESS);
    const flaky = await this.submit();
    await this.run(flaky, RETRYABLE);
    await this.look();
    await this.run(flaky, SUCCESS);
    const failed = await this.submit({ webhook });
    await this.run(failed, TERMINAL);
    await this.look();
    await this.retry(failed);
    await this.retry(failed);
    await this.run(failed, RETRYABLE);
    await this.run(failed, SUCCESS);
    await this.cancel(await this.submit());
    const running = await this.submit();
    const delivery = await this.claim(running);
    await this.workers[0]?.renew([{ id: running, lease: 1, progress: { fraction: 0.5, message: '' } }], {
      types: ['echo'],
      concurrency: 1,
    });
    await this.cancel(running);
    await this.commit(delivery, { outcome: 'cancelled' });
    const moved = await this.submit({ retries: 0 });
    await this.run(moved, HAND_BACK);
    const lost = await this.claim(moved);
    this.recorder.injected('worker paused', [moved]);
    await this.expire(moved);
    const second = await this.claim(moved, 1);
    await this.commit(lost, SUCCESS);
    await this.commit(second, SUCCESS, 1);
    const held = await this.submit();
    await suspendJob(this.ledger.db, held, true);
    await suspendJob(this.ledger.db, held, false);
    await this.run(held, SUCCESS);
    const key = { scope: 'idempotency', key: 'k', bodySha256: 'b', ttlSeconds: 60 } as const;
    await this.run(await this.submit({ uniqueKey: key }), SUCCESS);
    await this.submit({ uniqueKey: key });
    await this.submit({ uniqueKey: { ...key, bodySha256: 'other' } });
    const unknown = newJob();
    this.recorder.invoke('submit', { jobId: unknown.id }).info('the connection broke');
    await acceptJobs(this.ledger.db, [unknown]);
    await this.run(unknown.id, SUCCESS);
    await this.look();
  }
}
