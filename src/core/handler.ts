import type { z } from 'zod';
import type { JobType } from './job-type.ts';
import type { Logger } from './logger.ts';

/** A blob to read: metadata at once, bytes on demand. */
export interface BlobReader {
  name: string;
  mediaType: string;
  bytes: number;
  sha256: string;
  /** The whole content. Rejects with a `TerminalError` `BlobCorrupt` when the bytes do not have their SHA-256. */
  read(): Promise<Buffer>;
}

/** The blobs of one job: those uploaded for it, and those it produces. */
export interface JobBlobs {
  /** Input blobs, in the order of the submission. */
  inputs(): Promise<BlobReader[]>;
  /**
   * Stores a result blob. It becomes the job's only when the job's result commits; a job that fails leaves nothing.
   *
   * @param name - File name shown to the client.
   */
  put(content: Uint8Array, name: string, mediaType: string): Promise<StoredBlob>;
}

export interface StoredBlob {
  blobId: string;
  sha256: string;
  bytes: number;
}

/** `fetch` with the job's AbortSignal and a deadline on every call, traced. */
export type HandlerFetch = (
  url: string | URL,
  init?: {
    method?: string;
    headers?: Record<string, string>;
    body?: string | Uint8Array;
    timeoutMs?: number;
    maxBytes?: number;
  },
) => Promise<HandlerResponse>;

export interface HandlerResponse {
  status: number;
  headers: Record<string, string>;
  /** The body, at most `maxBytes` (10 MiB unless told) of it; a longer one rejects with `UpstreamTooLarge`. */
  body: Buffer;
}

/**
 * A provider's budget, kept over all workers together. Resolves when the call may be made; rejects with a
 * `HandBackError` when that would take longer than `maxWaitMs`, so that the job waits in the ledger, not in a worker.
 */
export type TakeBudget = (budget: BudgetRequest) => Promise<void>;

/**
 * Tells that a provider asks for a pause (429 with `Retry-After`, a ban): until it is over, an hour at most, `takeBudget`
 * lets nobody through, whatever the worker, and jobs wait in the ledger. Never rejects: the call's own error counts.
 */
export type PauseBudget = (name: string, forMs: number) => Promise<void>;

export interface BudgetRequest {
  /** Name of the provider, such as `etherscan`. */
  name: string;
  /** Calls a second; 0 is no limit. */
  perSecond: number;
  /** Calls a day (UTC); 0 is no limit. */
  perDay: number;
  /** Calls a month (UTC). Defaults to 0, no limit. */
  perMonth?: number;
  /** How many calls this one counts as. Defaults to 1. */
  weight?: number;
  /** Defaults to 5,000. */
  maxWaitMs?: number;
}

/**
 * Calls a function of the ledger that was made for a type, under the job's lease. `name` is the function's; it has to be
 * granted to workers, and takes `(secret, job, lease, payload)`. Rejects with a `RetryableError`: `SerializationFailure` when
 * it lost against another transaction and may be called again at once, `LedgerUnavailable` when the ledger is away.
 */
export type Procedure = (name: string, payload: unknown) => Promise<unknown>;

/** All that a handler may use. Nothing else of Longshore is its business. */
export interface HandlerContext<Input = unknown> {
  readonly job: {
    id: string;
    namespace: string;
    type: string;
    attempt: number;
    /** The fencing token: grows with each delivery. Give it to whatever is written to, so that a late delivery is refused. */
    lease: number;
    labels: Record<string, string>;
  };
  readonly input: Input;
  /** Aborted at the deadline, on cancellation, when the lease is lost and when the worker must leave. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly blobs: JobBlobs;
  readonly fetch: HandlerFetch;
  readonly takeBudget: TakeBudget;
  readonly pauseBudget: PauseBudget;
  readonly procedure: Procedure;
  /** Tells how far the job is; cheap, sent at most once a second. `fraction` is 0…1. */
  progress(fraction: number, message?: string): void;
}

export type Handler<Input = unknown, Result = unknown> = (context: HandlerContext<Input>) => Promise<Result>;

/** A type with the code that runs it: what a worker is started with. */
export interface Registration {
  type: JobType;
  run: Handler;
}

/** Binds a handler to its type, checking that input and result fit the type's schemas. */
export function defineHandler<Input extends z.ZodType, Result extends z.ZodType>(
  type: JobType<Input, Result>,
  run: Handler<z.output<Input>, z.input<Result>>,
): Registration {
  return { type, run: run as Handler };
}
