import { once } from 'node:events';
import { createServer, type Server, STATUS_CODES } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Express } from 'express';
import { Problem } from './problem.ts';

export interface ServerOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** The longest time that a whole request may take to arrive; uploads are the longest. */
  requestTimeoutMs: number;
}

const MAX_HEADER_BYTES = 16 * 1_024;
const HEADERS_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 10_000;

/** Listens; resolves when connections are taken. */
export async function listen(app: Express, options: ServerOptions): Promise<{ server: Server; url: string }> {
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: options.requestTimeoutMs,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: 65_000,
      noDelay: true,
    },
    app,
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', answerClientError);
  server.listen(options.port, options.host);
  await once(server, 'listening');
  const { port, address, family } = server.address() as AddressInfo;
  return { server, url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}` };
}

/** What the HTTP parser refuses never reaches Express: it gets a problem document all the same. */
function answerClientError(
  error: Error & { code?: string },
  socket: Socket | import('node:stream').Duplex,
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const problem =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? new Problem('RequestTimeout', 'The request did not arrive in time')
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? new Problem('HeadersTooLarge', `The headers are larger than ${MAX_HEADER_BYTES} bytes`)
        : new Problem('InvalidRequest', 'The request is not HTTP');
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** Takes no more connections, lets requests under way end, and cuts what is left after `graceMs` (event streams). */
export async function closeServer(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
