import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { freePort } from '../../hack/services/ports.ts';
import { isFinal, type Job } from '../../src/core/job.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { putJobType } from '../../src/ledger/job-types.ts';
import { getJobs } from '../../src/ledger/jobs.ts';
import { checkRun, type RunReport } from './checker.ts';
import { createTestLedger, newJob, type TestLedger } from './ledger.ts';
import { PgFaultProxy } from './pg-fault-proxy.ts';
import { RedisFaultProxy } from './redis-fault-proxy.ts';
import { RunRecorder, type WitnessRecord } from './run-records.ts';
import { waitFor } from './wait-for.ts';

export type Role = 'api' | 'controller' | 'worker';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LEASE_SECONDS = 3;

/** A process of Longshore, run by the test. */
export interface FaultProcess {
  role: Role;
  pid: number;
  /** Lines of its log, parsed where they are JSON. */
  log: string[];
  readonly hasExited: boolean;
  /** Sends a signal; of SIGKILL and SIGTERM, resolves when the process has ended, with the milliseconds that it took. */
  signal(signal: NodeJS.Signals): Promise<number>;
}

/** API, controllers and workers as processes, each behind proxies that lie as planned; the test itself goes round them. */
export class ProcessWorld {
  readonly recorder = new RunRecorder();
  readonly ledger: TestLedger;
  readonly pg: PgFaultProxy;
  readonly redis: RedisFaultProxy;
  readonly told: string[] = [];
  readonly processes: FaultProcess[] = [];
  readonly #children: ChildProcess[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'longshore-faults-'));
  readonly #prefix = `t${randomBytes(4).toString('hex')}`;
  #apiPort = 0;

  private constructor(ledger: TestLedger, pg: PgFaultProxy, redis: RedisFaultProxy) {
    this.ledger = ledger;
    this.pg = pg;
    this.redis = redis;
  }

  static async start(): Promise<ProcessWorld> {
    const ledger = await createTestLedger(['echo']);
    await putJobType(ledger.db, {
      namespace: 'default',
      name: 'echo',
      description: 'For fault tests',
      inputSchema: { type: 'object' },
      resultSchema: {},
      defaults: {},
      limits: { maxRunning: null, rate: null },
    });
    const pg = await PgFaultProxy.start(ledger.url);
    const redis = await RedisFaultProxy.start(process.env.LONGSHORE_TEST_REDIS_URL ?? '');
    return new ProcessWorld(ledger, pg, redis);
  }

  /** Starts a process; a worker is waited for until the ledger knows its session. */
  async spawn(role: Role): Promise<FaultProcess> {
    const script = role === 'worker' ? ['test/support/fault-worker.ts'] : ['src/cli/main.ts', role];
    const child = spawn(process.execPath, script, {
      cwd: ROOT,
      env: { ...process.env, ...(await this.#environment(role)) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const process_ = watch(role, child);
    this.#children.push(child);
    this.processes.push(process_);
    if (role === 'worker') await this.#hasSession(process_);
    return process_;
  }

  /** Puts jobs into the ledger as the API would. */
  async accept(inputs: readonly object[], retries = 2): Promise<string[]> {
    const jobs = inputs.map((input) => newJob({ input, retries }));
    const calls = jobs.map(({ id }) => this.recorder.invoke('submit', { jobId: id }));
    await acceptJobs(this.ledger.db, jobs);
    for (const [index, call] of calls.entries()) call.ok(jobs[index]?.id ?? '', 201);
    this.told.push(...jobs.map(({ id }) => id));
    return jobs.map(({ id }) => id);
  }

  /** Submits over REST, again under the same key until there is an answer. */
  async post(
    input: object,
    options: { beforeRetry?(): Promise<unknown> } = {},
  ): Promise<{ id: string; status: number }> {
    const key = randomUUID();
    for (;;) {
      const call = this.recorder.invoke('submit', { key });
      try {
        const response = await fetch(`http://127.0.0.1:${this.#apiPort}/v1/jobs`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': key },
          body: JSON.stringify({ type: 'echo', input }),
          signal: AbortSignal.timeout(15_000),
        });
        const body = (await response.json()) as { id?: string };
        if (response.status < 300 && body.id !== undefined) {
          call.ok(body.id, response.status);
          this.told.push(body.id);
          return { id: body.id, status: response.status };
        }
        call.info(`${response.status} ${JSON.stringify(body)}`);
        if (response.status < 500) throw new Error(`The API refused a job: ${JSON.stringify(body)}`);
      } catch (error) {
        if (error instanceof Error && error.message.startsWith('The API refused')) throw error;
        call.info(String(error));
      }
      await options.beforeRetry?.();
    }
  }

  /** Waits until the API answers. */
  async apiIsReady(): Promise<void> {
    await waitFor(
      async () =>
        (
          await fetch(`http://127.0.0.1:${this.#apiPort}/v1/job-types`, {
            signal: AbortSignal.timeout(1_000),
          })
        ).ok,
      { timeoutMs: 20_000, describe: 'the API' },
    );
  }

  async settle(timeoutMs = 40_000): Promise<Job[]> {
    return waitFor(
      async () => {
        const jobs = await getJobs(this.ledger.db, this.told);
        const open = jobs.filter((job) => !isFinal(job.status));
        if (open.length === 0) return jobs;
        throw new Error(`${open.length} jobs have not ended, among them ${JSON.stringify(open.slice(0, 2))}`);
      },
      { timeoutMs, describe: 'the end of every accepted job' },
    );
  }

  /** Settles, asks the checker, and expects the run to hold. */
  async expectHeld(minInjections = 1): Promise<RunReport> {
    await this.settle();
    for (const { verified, rule } of [...this.pg.decisions, ...this.redis.decisions]) {
      if (verified) this.recorder.injected(`${rule.fault} ${rule.name}`);
    }
    const records = [...this.recorder.records, ...(await this.#witnesses())].sort((a, b) => a.t - b.t);
    const report = await checkRun(
      this.ledger.db,
      { records },
      { minJobs: 1, minInjections, leaseSeconds: LEASE_SECONDS },
    );
    expect(report.reasons, JSON.stringify(report.findings.filter((f) => f.verdict === 'broken'))).toEqual([]);
    expect(report.verdict).toBe('held');
    return report;
  }

  async close(): Promise<void> {
    for (const child of this.#children)
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await Promise.all(this.#children.map((child) => hasEnded(child)));
    await Promise.all([this.pg.close(), this.redis.close()]);
    await this.ledger.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #environment(role: Role): Promise<Record<string, string>> {
    if (role === 'api' && this.#apiPort === 0) this.#apiPort = await freePort();
    return {
      LONGSHORE_POSTGRES_URL: this.pg.through(this.ledger.url),
      LONGSHORE_WORKER_POSTGRES_URL: this.pg.through(this.ledger.workerUrl),
      LONGSHORE_REDIS_URL: this.redis.url,
      LONGSHORE_REDIS_PREFIX: this.#prefix,
      LONGSHORE_WORKER_POOL_SECRET: this.ledger.poolSecret,
      LONGSHORE_WORKER_CONCURRENCY: '4',
      LONGSHORE_LEASE_SECONDS: String(LEASE_SECONDS),
      LONGSHORE_RENEW_SECONDS: '1',
      LONGSHORE_GRACE_SECONDS: '6',
      LONGSHORE_AUTH: 'off',
      LONGSHORE_API_HOST: '127.0.0.1',
      LONGSHORE_API_PORT: String(this.#apiPort),
      LONGSHORE_HEALTH_HOST: '127.0.0.1',
      LONGSHORE_HEALTH_PORT: String(await freePort()),
      LONGSHORE_KUBERNETES: 'off',
      FAULT_WITNESS: join(this.#folder, 'witness.jsonl'),
    };
  }

  async #hasSession({ pid, log }: FaultProcess): Promise<void> {
    await waitFor(
      async () => {
        const { rowCount } = await this.ledger.db.query(
          "select from worker_sessions where id like '%-' || $1 || '-%'",
          [pid],
        );
        if (rowCount === 1) return true;
        throw new Error(log.slice(-3).join('\n'));
      },
      { timeoutMs: 20_000, describe: `the session of worker ${pid}` },
    );
  }

  /**
   * What handlers told. They do not know their lease: the k-th start of a job in a process is the k-th delivery of it that
   * the ledger gave to that process.
   */
  async #witnesses(): Promise<WitnessRecord[]> {
    const path = join(this.#folder, 'witness.jsonl');
    if (!existsSync(path)) return [];
    const { rows } = await this.ledger.db.query<{ job_id: string; data: { lease: number; worker: string } }>(
      "select job_id, data from events where type = 'started' order by job_id, seq",
    );
    const offset = Number(process.hrtime.bigint()) / 1e6 - this.recorder.now();
    const starts = new Map<string, number>();
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const { pid, t, ...told } = JSON.parse(line) as Omit<WitnessRecord, 'lease' | 'worker'> & {
          pid: number;
        };
        const key = `${told.jobId}/${pid}`;
        if (told.kind === 'start') starts.set(key, (starts.get(key) ?? 0) + 1);
        const given = rows.filter(
          ({ job_id, data }) => job_id === told.jobId && data.worker.includes(`-${pid}-`),
        );
        const { lease = 0, worker = '' } = given[(starts.get(key) ?? 1) - 1]?.data ?? {};
        return { ...told, t: t - offset, lease, worker };
      });
  }
}

function watch(role: Role, child: ChildProcess): FaultProcess {
  const log: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream
      ?.setEncoding('utf8')
      .on('data', (text: string) => log.push(...text.split('\n').filter((line) => line !== '')));
  }
  return {
    role,
    pid: child.pid ?? 0,
    log,
    get hasExited() {
      return child.exitCode !== null || child.signalCode !== null;
    },
    async signal(signal) {
      const startedAt = performance.now();
      child.kill(signal);
      if (signal === 'SIGKILL' || signal === 'SIGTERM') await hasEnded(child);
      return performance.now() - startedAt;
    },
  };
}

async function hasEnded(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    await once(child, 'exit', { signal: AbortSignal.timeout(60_000) });
  }
}
