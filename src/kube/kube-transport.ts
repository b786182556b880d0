import { setTimeout as sleep } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { KubeApiError, type KubeStatus } from './kube-api-error.ts';
import { KubeCredentials, type KubeCredentialsOptions } from './kube-credentials.ts';

const MAX_ATTEMPTS = 5;
const RETRYABLE_GET = new Set([500, 502, 503, 504]);

export interface KubeRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  query?: Record<string, string | number | boolean | undefined> | undefined;
  body?: object | undefined;
  contentType?: string | undefined;
  /** Over all attempts together. Defaults to the transport's. */
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** One call as the API server saw it, for metrics: its cost is the number of writes. */
export interface KubeRequestReport {
  method: string;
  path: string;
  /** 0 when there was no answer. */
  status: number;
  durationMs: number;
}

export interface KubeTransportOptions extends KubeCredentialsOptions {
  userAgent: string;
  /** Deadline of a call. Defaults to 10,000. */
  timeoutMs?: number | undefined;
  onRequest?: ((report: KubeRequestReport) => void) | undefined;
}

/** JSON calls with deadlines. GET is tried again after any hiccup, anything else only after 429: it was not executed. */
export class KubeTransport {
  readonly #credentials: KubeCredentials;
  readonly #options: KubeTransportOptions;

  constructor(options: KubeTransportOptions) {
    this.#options = options;
    this.#credentials = new KubeCredentials(options);
  }

  get namespace(): string | undefined {
    return this.#credentials.namespace;
  }

  /** Rejects with a {@link KubeApiError}, or with the signal's reason when the caller aborted. */
  async request<T>(request: KubeRequest): Promise<T> {
    const deadline = AbortSignal.timeout(request.timeoutMs ?? this.#options.timeoutMs ?? 10_000);
    const signal = request.signal === undefined ? deadline : AbortSignal.any([request.signal, deadline]);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt<T>(request, signal);
      } catch (error) {
        request.signal?.throwIfAborted();
        if (deadline.aborted || attempt === MAX_ATTEMPTS || !mayRetry(request.method, error)) throw error;
        const backoffMs = (error as KubeApiError).retryAfterMs ?? 50 * 2 ** attempt * (0.5 + Math.random());
        await sleep(backoffMs, undefined, { signal }).catch(() => {
          request.signal?.throwIfAborted();
          throw error;
        });
      }
    }
  }

  /**
   * Opens a stream. `idleTimeoutMs` ends one on which nothing arrives: bookmarks come every minute, so silence means that
   * the connection is half open.
   */
  async openStream(
    path: string,
    query: KubeRequest['query'],
    signal: AbortSignal,
    idleTimeoutMs: number,
  ): Promise<AsyncIterable<Uint8Array>> {
    try {
      const connection = await this.#credentials.connection();
      const answer = await connection.watches.request({
        origin: connection.origin,
        path: connection.basePath + path + queryString(query),
        method: 'GET',
        headers: this.#headers(connection.headers),
        signal,
        headersTimeout: 15_000,
        bodyTimeout: idleTimeoutMs,
      });
      if (answer.statusCode === 200) return answer.body;
      throw await this.#failure(answer);
    } catch (error) {
      signal.throwIfAborted();
      throw toKubeApiError(error);
    }
  }

  async close(): Promise<void> {
    await this.#credentials.close();
  }

  async #attempt<T>(request: KubeRequest, signal: AbortSignal): Promise<T> {
    const startedAt = performance.now();
    let status = 0;
    try {
      const connection = await this.#credentials.connection();
      const answer = await connection.requests.request({
        origin: connection.origin,
        path: connection.basePath + request.path + queryString(request.query),
        method: request.method,
        headers: this.#headers(connection.headers, request.contentType ?? 'application/json'),
        body: request.body === undefined ? null : JSON.stringify(request.body),
        // undici would close the connection after each DELETE with a body, and a TLS handshake costs more than the call.
        reset: false,
        signal,
      });
      status = answer.statusCode;
      if (status >= 200 && status < 300) return (await answer.body.json()) as T;
      throw await this.#failure(answer);
    } catch (error) {
      throw toKubeApiError(error);
    } finally {
      const durationMs = performance.now() - startedAt;
      this.#options.onRequest?.({ method: request.method, path: request.path, status, durationMs });
    }
  }

  async #failure(answer: Dispatcher.ResponseData): Promise<KubeApiError> {
    if (answer.statusCode === 401) this.#credentials.expire();
    const text = await answer.body.text();
    const retryAfter = Number(answer.headers['retry-after']);
    return new KubeApiError(answer.statusCode, parseStatus(text), {
      retryAfterMs: Number.isFinite(retryAfter) ? retryAfter * 1_000 : undefined,
    });
  }

  #headers(auth: Record<string, string>, contentType?: string): Record<string, string> {
    const headers: Record<string, string> = {
      ...auth,
      accept: 'application/json',
      'user-agent': this.#options.userAgent,
    };
    if (contentType !== undefined) headers['content-type'] = contentType;
    return headers;
  }
}

function parseStatus(text: string): KubeStatus {
  try {
    const parsed = JSON.parse(text) as KubeStatus | null;
    if (typeof parsed === 'object' && parsed !== null) return parsed;
  } catch {
    // A proxy's page, or kube-apiserver's plain text while it starts.
  }
  return { message: text.slice(0, 500) };
}

function mayRetry(method: string, error: unknown): boolean {
  if (!(error instanceof KubeApiError)) return false;
  if (error.status === 429) return true;
  return method === 'GET' && (error.status === 0 || RETRYABLE_GET.has(error.status));
}

/** Errors of the connection as `Unreachable`, of our own deadlines as `Timeout`. */
export function toKubeApiError(error: unknown): KubeApiError {
  if (error instanceof KubeApiError) return error;
  const { name, message } = error instanceof Error ? error : { name: '', message: String(error) };
  const timedOut = name === 'TimeoutError' || name.endsWith('TimeoutError');
  return new KubeApiError(0, { reason: timedOut ? 'Timeout' : 'Unreachable', message }, { cause: error });
}

function queryString(query: KubeRequest['query']): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}
