import { timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import type { Logger } from '../core/logger.ts';
import type { Update } from './telegram.ts';

export interface WebhookServerOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** Of the public URL. */
  path: string;
  /** What Telegram shows. */
  secret: string;
  logger: Logger;
  /** Handles an update; rejects only when it has to come again. */
  handle(update: Update): Promise<void>;
}

/** Updates have a few KiB. */
const MAX_BYTES = 1_048_576;
const REQUEST_TIMEOUT_MS = 10_000;

const anUpdate = z.looseObject({ update_id: z.int() });

/** Takes the updates that Telegram posts. Whoever does not know the secret is told 403 before the body is read. */
export class WebhookServer {
  readonly #options: WebhookServerOptions;
  readonly #server: Server;

  constructor(options: WebhookServerOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      this.#answer(request).then(
        (status) => finish(response, status),
        (error: unknown) => {
          options.logger.warn({ err: error }, 'Failed to handle an update');
          // Telegram sends it again.
          finish(response, 503);
        },
      );
    });
    this.#server.requestTimeout = REQUEST_TIMEOUT_MS;
    this.#server.headersTimeout = REQUEST_TIMEOUT_MS;
  }

  /** Listens; resolves with the port. */
  async start(): Promise<number> {
    this.#server.listen(this.#options.port, this.#options.host);
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends what is under way first. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeIdleConnections();
    await closed;
  }

  async #answer(request: IncomingMessage): Promise<number> {
    const { path, secret, handle } = this.#options;
    if (request.url?.split('?')[0] !== path) return 404;
    if (request.method !== 'POST') return 405;
    if (!isSame(String(request.headers['x-telegram-bot-api-secret-token'] ?? ''), secret)) return 403;
    const body = await readBody(request);
    if (body === null) return 413;
    const update = parseUpdate(body);
    if (update === null) return 400;
    await handle(update);
    return 200;
  }
}

function parseUpdate(body: string): Update | null {
  try {
    return anUpdate.parse(JSON.parse(body)) as Update;
  } catch {
    return null;
  }
}

/** Null when it is too long. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Takes as long whatever is shown. */
function isSame(shown: string, secret: string): boolean {
  const [a, b] = [Buffer.from(shown), Buffer.from(secret)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function finish(response: ServerResponse, status: number): void {
  // What was not read of a body is not waited for.
  response.writeHead(status, { 'content-length': 0, ...(status === 200 ? {} : { connection: 'close' }) });
  response.end();
}
