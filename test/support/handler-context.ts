import { createHash } from 'node:crypto';
import { request } from 'undici';
import { HandBackError, RetryableError, TerminalError } from '../../src/core/errors.ts';
import type {
  BlobReader,
  BudgetRequest,
  HandlerContext,
  HandlerFetch,
  HandlerResponse,
  Registration,
} from '../../src/core/handler.ts';
import { uuidv7 } from '../../src/core/ids.ts';
import { silentLogger } from '../../src/core/logger.ts';

export interface UploadedFile {
  content: Uint8Array;
  name: string;
  mediaType?: string;
}

export interface StoredFile {
  blobId: string;
  name: string;
  mediaType: string;
  content: Buffer;
}

export interface TestContextOptions {
  uploads?: UploadedFile[];
  signal?: AbortSignal;
  /** Answers each request for a budget; defaults to granting it. Return milliseconds to hand the job back. */
  budget?: (request: BudgetRequest) => number | undefined;
  /** Stands in for the ledger's functions. Defaults to answering null. */
  procedure?: (name: string, payload: unknown) => unknown;
  /** Filled with the pauses that are asked for; given by tests whose run fails. */
  pauses?: { name: string; forMs: number }[];
}

/** What a handler did, beside its result. */
export interface TestRun {
  context: HandlerContext;
  /** Result blobs, in the order of `put`. */
  stored: StoredFile[];
  budgets: BudgetRequest[];
  /** Pauses that were asked for. */
  pauses: { name: string; forMs: number }[];
  progress: number[];
}

/** A handler's context without a worker: blobs in memory, a budget under the test's control, real HTTP. */
export function createTestContext(type: string, input: unknown, options: TestContextOptions = {}): TestRun {
  const stored: StoredFile[] = [];
  const budgets: BudgetRequest[] = [];
  const pauses = options.pauses ?? [];
  const progress: number[] = [];
  const signal = options.signal ?? new AbortController().signal;
  const context: HandlerContext = {
    job: { id: uuidv7(), namespace: 'default', type, attempt: 1, lease: 1, labels: {} },
    input,
    signal,
    logger: silentLogger,
    blobs: {
      inputs: async () => (options.uploads ?? []).map(toReader),
      put: async (content, name, mediaType) => {
        const blob = { blobId: uuidv7(), name, mediaType, content: Buffer.from(content) };
        stored.push(blob);
        return { blobId: blob.blobId, sha256: sha256(content), bytes: content.byteLength };
      },
    },
    fetch: createFetch(signal),
    takeBudget: async (request) => {
      budgets.push(request);
      const delayMs = options.budget?.(request);
      if (delayMs !== undefined)
        throw new HandBackError('BudgetExhausted', `${request.name} is used up`, delayMs);
    },
    pauseBudget: async (name, forMs) => void pauses.push({ name, forMs }),
    procedure: async (name, payload) => options.procedure?.(name, payload) ?? null,
    progress: (fraction) => void progress.push(fraction),
  };
  return { context, stored, budgets, pauses, progress };
}

/** Runs a handler as a worker does: input parsed by the type's schema, the result checked by it. */
export async function runHandler<Result>(
  registration: Registration,
  input: unknown,
  options: TestContextOptions = {},
): Promise<TestRun & { result: Result }> {
  const run = createTestContext(registration.type.name, registration.type.input.parse(input), options);
  const result = registration.type.result.parse(await registration.run(run.context)) as Result;
  return { ...run, result };
}

function toReader({ content, name, mediaType = 'application/octet-stream' }: UploadedFile): BlobReader {
  return {
    name,
    mediaType,
    bytes: content.byteLength,
    sha256: sha256(content),
    read: async () => Buffer.from(content),
  };
}

function createFetch(jobSignal: AbortSignal): HandlerFetch {
  return async (url, init = {}) => {
    const deadline = AbortSignal.timeout(init.timeoutMs ?? 30_000);
    const signal = AbortSignal.any([jobSignal, deadline]);
    try {
      return await fetchOnce(url, init, signal);
    } catch (error) {
      jobSignal.throwIfAborted();
      if (error instanceof TerminalError) throw error;
      const code = deadline.aborted ? 'UpstreamTimeout' : 'UpstreamUnreachable';
      // As careless as an HTTP client is: callers must not let this message out, it may hold a key.
      throw new RetryableError(code, `${url} failed`, { cause: error });
    }
  };
}

async function fetchOnce(
  url: string | URL,
  init: NonNullable<Parameters<HandlerFetch>[1]>,
  signal: AbortSignal,
): Promise<HandlerResponse> {
  const { method = 'GET', headers = {}, body = null, maxBytes = 10 * 1024 * 1024 } = init;
  const response = await request(url, { method: method as 'GET', headers, body, signal });
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += (chunk as Buffer).length;
    if (bytes > maxBytes)
      throw new TerminalError('UpstreamTooLarge', `${url} answered with more than ${maxBytes} bytes`);
    chunks.push(chunk as Buffer);
  }
  return { status: response.statusCode, headers: flatten(response.headers), body: Buffer.concat(chunks) };
}

function flatten(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value ?? '')]));
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
