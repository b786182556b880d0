import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from '../core/logger.ts';
import { withDeadline } from './wait-for.ts';

export interface HealthServerOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  logger: Logger;
  /** The metrics of the process as text, with their media type. */
  metrics(): Promise<{ contentType: string; body: string }>;
  /** Deadline of one readiness check. Defaults to 2,000. */
  checkTimeoutMs?: number;
}

/** Resolves when fine; its rejection says what is missing. */
export type ReadinessCheck = (signal: AbortSignal) => Promise<unknown>;

export interface Readiness {
  ready: boolean;
  /** Why each check that failed did, by its name. */
  missing: Record<string, string>;
}

/**
 * `/healthz` (the process answers), `/readyz` (its dependencies do; 503 names those that do not) and `/metrics`, on
 * a port of their own so that they answer while the API is full, and are never open to its clients.
 */
export class HealthServer {
  readonly #options: HealthServerOptions;
  readonly #checks = new Map<string, ReadinessCheck>();
  readonly #server: Server;
  #draining = false;

  constructor(options: HealthServerOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      const path = request.url?.split('?')[0] ?? '/';
      this.#answer(request.method ?? 'GET', path, response).catch((err: unknown) => {
        options.logger.error({ err, path }, 'Health request failed');
        response.destroy();
      });
    });
    this.#server.requestTimeout = 10_000;
  }

  addCheck(name: string, check: ReadinessCheck): void {
    this.#checks.set(name, check);
  }

  /** Not ready from now on, so that no new traffic comes while the process drains. */
  drain(): void {
    this.#draining = true;
  }

  /** Listens; resolves with the port. */
  async start(): Promise<number> {
    this.#server.listen(this.#options.port, this.#options.host);
    await once(this.#server, 'listening');
    const { port } = this.#server.address() as AddressInfo;
    this.#options.logger.info({ host: this.#options.host, port }, 'Health server started');
    return port;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Runs all checks at once. */
  async readiness(): Promise<Readiness> {
    const missing: Record<string, string> = this.#draining ? { process: 'is shutting down' } : {};
    const timeoutMs = this.#options.checkTimeoutMs ?? 2_000;
    await Promise.all(
      Array.from(this.#checks, async ([name, check]) => {
        await withDeadline(check, timeoutMs).catch((error: unknown) => {
          missing[name] = error instanceof Error && error.message !== '' ? error.message : String(error);
        });
      }),
    );
    return { ready: Object.keys(missing).length === 0, missing };
  }

  async #answer(method: string, path: string, response: ServerResponse): Promise<void> {
    if (method !== 'GET' && method !== 'HEAD')
      return send(response, 405, { error: 'Only GET and HEAD are allowed' });
    if (path === '/healthz') return send(response, 200, { status: 'ok' });
    if (path === '/readyz') {
      const readiness = await this.readiness();
      return send(response, readiness.ready ? 200 : 503, readiness);
    }
    if (path === '/metrics') {
      const { contentType, body } = await this.#options.metrics();
      response.writeHead(200, { 'content-type': contentType }).end(body);
      return;
    }
    send(response, 404, { error: 'There are /healthz, /readyz and /metrics' });
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(JSON.stringify(body));
}
