import { type Dispatcher, request } from 'undici';
import { RetryableError, sanitizeText, TerminalError } from '../core/errors.ts';
import type { HandlerFetch, HandlerResponse } from '../core/handler.ts';
import type { Tracer } from '../core/tracing.ts';

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_BYTES = 10 * 1_024 * 1_024;

/**
 * `fetch` for handlers: every call ends by its deadline or with the job, answers are bounded, redirects are not followed.
 * URLs never get into errors or spans, because providers take their keys in them.
 */
export function createHandlerFetch(options: {
  signal: AbortSignal;
  tracer: Tracer;
  dispatcher?: Dispatcher;
}): HandlerFetch {
  return (url, init = {}) => {
    const target = new URL(url);
    const method = init.method ?? 'GET';
    const signal = AbortSignal.any([
      options.signal,
      AbortSignal.timeout(init.timeoutMs ?? DEFAULT_TIMEOUT_MS),
    ]);
    const attributes = { 'http.request.method': method, 'server.address': target.hostname };
    return options.tracer.span(`${method} ${target.hostname}`, { kind: 'client', attributes }, async () => {
      try {
        const traceparent = options.tracer.traceparent();
        const answer = await request(target, {
          method: method as Dispatcher.HttpMethod,
          headers: { ...init.headers, ...(traceparent === null ? {} : { traceparent }) },
          body: init.body ?? null,
          signal,
          ...(options.dispatcher === undefined ? {} : { dispatcher: options.dispatcher }),
        });
        return await readAnswer(answer, init.maxBytes ?? DEFAULT_MAX_BYTES);
      } catch (error) {
        throw toUpstreamError(error, target.hostname, options.signal);
      }
    });
  };
}

async function readAnswer(answer: Dispatcher.ResponseData, maxBytes: number): Promise<HandlerResponse> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      answer.body.destroy();
      throw new TerminalError('UpstreamTooLarge', `The upstream answered more than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return { status: answer.statusCode, headers, body: Buffer.concat(chunks) };
}

function toUpstreamError(error: unknown, host: string, jobSignal: AbortSignal): Error {
  if (jobSignal.aborted) return jobSignal.reason as Error;
  if (error instanceof TerminalError) return error;
  if (error instanceof Error && error.name === 'TimeoutError') {
    return new RetryableError('UpstreamTimeout', `${host} did not answer in time`);
  }
  const code = (error as { code?: unknown }).code;
  const reason = typeof code === 'string' ? code : 'the connection failed';
  return new RetryableError('UpstreamUnreachable', sanitizeText(`${host} could not be reached: ${reason}`));
}
