import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { HandBackError, sanitizeText, TerminalError } from '../core/errors.ts';
import type { BlobReader, HandlerContext, JobBlobs, PauseBudget, TakeBudget } from '../core/handler.ts';
import type { Logger } from '../core/logger.ts';
import type { Tracer } from '../core/tracing.ts';
import type { ClaimedJob, InputBlob, WorkerLedger } from '../ledger/worker-ledger.ts';
import { createHandlerFetch } from './upstream-fetch.ts';

/** A result blob that is stored, and becomes the job's with the commit. */
export interface ProducedBlob {
  blobId: string;
  name: string;
  mediaType: string;
}

export interface HandlerContextOptions {
  job: ClaimedJob;
  input: unknown;
  ledger: WorkerLedger;
  logger: Logger;
  signal: AbortSignal;
  tracer: Tracer;
  /** Filled by `blobs.put`. */
  produced: ProducedBlob[];
  onProgress(fraction: number, message: string): void;
}

const DEFAULT_MAX_BUDGET_WAIT_MS = 5_000;

/** All that a handler may use, for one delivery of one job. */
export function createHandlerContext(options: HandlerContextOptions): HandlerContext {
  const { job, ledger, signal } = options;
  return {
    job: {
      id: job.id,
      namespace: job.namespace,
      type: job.type,
      attempt: job.attempt,
      lease: job.lease,
      labels: job.labels,
    },
    input: options.input,
    signal,
    logger: options.logger,
    blobs: createJobBlobs(options),
    fetch: createHandlerFetch({ signal, tracer: options.tracer }),
    takeBudget: createTakeBudget(ledger, signal),
    pauseBudget: createPauseBudget(ledger, options.logger),
    procedure: (name, payload) => ledger.call(name, job, payload),
    progress(fraction, message = '') {
      // One text that PostgreSQL refuses would keep all leases of the worker from being renewed.
      options.onProgress(
        Math.min(1, Math.max(0, Number.isFinite(fraction) ? fraction : 0)),
        sanitizeText(message),
      );
    },
  };
}

function createJobBlobs({ job, ledger, signal, produced }: HandlerContextOptions): JobBlobs {
  return {
    inputs: async () => job.blobs.map((blob) => createReader(job, blob, ledger)),
    async put(content, name, mediaType) {
      signal.throwIfAborted();
      const stored = await ledger.writeBlob(job, content);
      produced.push({ blobId: stored.blobId, name, mediaType });
      return stored;
    },
  };
}

function createReader(job: ClaimedJob, blob: InputBlob, ledger: WorkerLedger): BlobReader {
  return {
    name: blob.name,
    mediaType: blob.mediaType,
    bytes: blob.bytes,
    sha256: blob.sha256,
    async read() {
      const content = await ledger.readBlob(job, blob);
      if (createHash('sha256').update(content).digest('hex') !== blob.sha256) {
        throw new TerminalError(
          'BlobCorrupt',
          `The stored bytes of "${blob.name}" are not those that were uploaded`,
        );
      }
      return content;
    },
  };
}

function createTakeBudget(ledger: WorkerLedger, signal: AbortSignal): TakeBudget {
  return async (request) => {
    const { name, perSecond, perDay, perMonth = 0 } = request;
    if (perSecond <= 0 && perDay <= 0 && perMonth <= 0) return;
    const { granted, waitMs } = await ledger.takeBudget({
      maxWaitMs: DEFAULT_MAX_BUDGET_WAIT_MS,
      ...request,
    });
    if (!granted)
      throw new HandBackError('BudgetExhausted', `The budget of ${name} is spent for now`, waitMs);
    if (waitMs > 0) await sleep(waitMs, undefined, { signal });
  };
}

function createPauseBudget(ledger: WorkerLedger, logger: Logger): PauseBudget {
  return async (name, forMs) => {
    if (!(forMs > 0)) return;
    try {
      await ledger.pauseBudget(name, forMs);
      logger.info({ budget: name, for_ms: forMs }, 'Paused the calls to a provider');
    } catch (error) {
      logger.warn({ err: error, budget: name }, 'Failed to pause the calls to a provider');
    }
  };
}
