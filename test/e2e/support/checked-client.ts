import { setTimeout as delay } from 'node:timers/promises';
import { RunRecorder } from '../../support/run-records.ts';

export interface JobView {
  id: string;
  status: 'CREATED' | 'PROCESS' | 'SUCCESS' | 'ERROR' | 'CANCELLED';
  attempts?: number;
  startedAt?: string | null;
  result?: unknown;
  error?: { code: string; message: string } | null;
}

export interface NewJob {
  type: string;
  input: unknown;
  [field: string]: unknown;
}

export class ApiError extends Error {
  override name = 'ApiError';
  readonly status: number;

  constructor(status: number, text: string) {
    super(`The API answered ${status}: ${text}`);
    this.status = status;
  }
}

/**
 * A client that keeps what it was told, so that it can be held against the ledger. It does what a client should: it
 * asks again, under the same key, when no answer came.
 */
export class CheckedClient {
  readonly #url: string;
  readonly #token: string;
  readonly recorder = new RunRecorder();
  /** Ids that the API answered with. */
  readonly told = new Set<string>();
  /** How often an answer was missing, so that the call had to be repeated. */
  repeated = 0;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  async call<Answer>(method: string, path: string, body?: unknown, key?: string): Promise<Answer> {
    const answer = await fetch(`${this.#url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(15_000),
    });
    const text = await answer.text();
    if (!answer.ok) throw new ApiError(answer.status, text);
    return (text === '' ? undefined : JSON.parse(text)) as Answer;
  }

  /** Submits until there is an answer; rejects when it is a refusal. */
  async submit(job: NewJob, { patienceMs = 120_000 } = {}): Promise<string> {
    const key = crypto.randomUUID();
    const call = this.recorder.invoke('submit', { key });
    const { id } = await this.#persistently(patienceMs, () =>
      this.call<{ id: string }>('POST', '/v1/jobs', job, key),
    );
    call.ok(id, 201);
    this.told.add(id);
    return id;
  }

  job(id: string): Promise<JobView> {
    return this.#persistently(120_000, () => this.call<JobView>('GET', `/v1/jobs/${id}`));
  }

  /** Resolves with the job once it has ended. */
  async ended(id: string, timeoutMs = 120_000): Promise<JobView> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const job = await this.job(id);
      if (['SUCCESS', 'ERROR', 'CANCELLED'].includes(job.status)) return job;
      if (performance.now() > deadline) {
        throw new Error(`Waited ${timeoutMs} ms for the end of job ${id}; last seen: ${JSON.stringify(job)}`);
      }
      await delay(200);
    }
  }

  /** How all jobs that the API ever told us of ended; one that it no longer knows rejects. */
  async ends(timeoutMs = 240_000): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const id of this.told) {
      const { status } = await this.ended(id, timeoutMs);
      counts[status] = (counts[status] ?? 0) + 1;
    }
    return counts;
  }

  async #persistently<Answer>(patienceMs: number, call: () => Promise<Answer>): Promise<Answer> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      try {
        return await call();
      } catch (error) {
        const refused = error instanceof ApiError && error.status < 500 && error.status !== 429;
        if (refused || performance.now() > deadline) throw error;
        this.repeated += 1;
        await delay(250);
      }
    }
  }
}
