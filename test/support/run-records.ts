import { readFile } from 'node:fs/promises';

/** A call of a client, written down before it is sent. */
export interface InvokeRecord {
  kind: 'invoke';
  /** Milliseconds of one monotonic clock for the whole run. */
  t: number;
  /** Names this call; the answer's record carries the same. */
  call: string;
  op: 'submit' | 'cancel' | 'retry';
  /** The idempotency key of a submit, by which a submit without an answer is found in the ledger. */
  key?: string;
  /** SHA-256 of what is submitted, in hex; two bodies under one key must not both be accepted. */
  bodySha256?: string;
  /** The job meant by cancel and retry; for a submit the id, where the client chooses it. */
  jobId?: string;
}

/** What the client was told: done, refused, or nothing that could be relied on (time-out, reset, 5xx). */
export type AnswerRecord =
  | { kind: 'ok'; t: number; call: string; jobId: string; status: number }
  | { kind: 'fail'; t: number; call: string; status: number }
  | { kind: 'info'; t: number; call: string; reason: string };

/** What a handler did, told by the handler to somebody whom no fault touches. */
export interface WitnessRecord {
  kind: 'start' | 'effect' | 'abort-seen' | 'end';
  t: number;
  jobId: string;
  attempt: number;
  /** The fencing token of the delivery. */
  lease: number;
  worker: string;
}

/** A fault whose effect was seen, not only asked for. */
export interface InjectionRecord {
  kind: 'injection';
  t: number;
  fault: string;
  /** Deliveries of these jobs may overlap with their next ones: their worker was paused or cut off. */
  jobIds?: string[];
}

export type RunRecord = InvokeRecord | AnswerRecord | WitnessRecord | InjectionRecord;

/** What one job showed in one look at the ledger. */
export interface SeenJob {
  status: string;
  attempt: number;
  version: number;
  /** MD5 of the result, to compare; null without one. */
  result: string | null;
}

/** One look at all jobs of the ledger, by id. */
export interface LedgerSnapshot {
  t: number;
  jobs: ReadonlyMap<string, SeenJob>;
}

/** Records of one run, in the order in which they were written. */
export class RunRecorder {
  readonly records: RunRecord[] = [];
  readonly #startedAt = performance.now();
  #calls = 0;

  /** Milliseconds since the run began. */
  now(): number {
    return performance.now() - this.#startedAt;
  }

  add(record: RunRecord): void {
    this.records.push(record);
  }

  /** Writes a call down before it is sent; the answer goes to the functions that this returns. */
  invoke(op: InvokeRecord['op'], about: Pick<InvokeRecord, 'key' | 'bodySha256' | 'jobId'> = {}) {
    this.#calls += 1;
    const call = `call-${this.#calls}`;
    this.add({ kind: 'invoke', t: this.now(), call, op, ...about });
    return {
      call,
      ok: (jobId: string, status: number) => this.add({ kind: 'ok', t: this.now(), call, jobId, status }),
      fail: (status: number) => this.add({ kind: 'fail', t: this.now(), call, status }),
      info: (reason: string) => this.add({ kind: 'info', t: this.now(), call, reason }),
    };
  }

  witness(
    kind: WitnessRecord['kind'],
    what: Pick<WitnessRecord, 'jobId' | 'attempt' | 'lease' | 'worker'>,
  ): void {
    this.add({ kind, t: this.now(), ...what });
  }

  injected(fault: string, jobIds?: string[]): void {
    this.add({ kind: 'injection', t: this.now(), fault, ...(jobIds === undefined ? {} : { jobIds }) });
  }
}

/** Reads records from files of JSON lines and puts them in order of time. A line that is cut off is an error. */
export async function readRecords(paths: readonly string[]): Promise<RunRecord[]> {
  const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8')));
  return texts
    .flatMap((text) => text.split('\n').filter((line) => line !== ''))
    .map((line) => JSON.parse(line) as RunRecord)
    .sort((a, b) => a.t - b.t);
}
