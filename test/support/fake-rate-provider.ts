import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Failure, misbehave } from './fake-provider.ts';

export interface RateCall {
  atMs: number;
  /** As it was answered; 0 for a call that was let go wrong. */
  status: number;
  weight: number;
  query: Record<string, string>;
}

/** A running stand-in for a provider of exchange rates. */
export interface FakeRateProvider {
  url: string;
  /** The last 100,000 calls, oldest first. */
  calls: RateCall[];
  /** Lets the next calls go wrong, each in its turn. */
  fail(...failures: Failure[]): void;
  /** How far its clock is ahead of ours. */
  skewMs: number;
  close(): Promise<void>;
}

export interface RateAnswer {
  status: number;
  /** JSON text, since prices have more digits than a number keeps. */
  text: string;
  headers?: Record<string, string>;
}

export interface RateBehaviour {
  path: string;
  weigh(query: Record<string, string>): number;
  /** `over`: the call was one too many; it is the so-manieth of those in a row. */
  answer(query: Record<string, string>, state: { nowMs: number; used: number; over: number }): RateAnswer;
}

export interface RateLimitOptions {
  host?: string;
  port?: number;
  /** What calls of one window may weigh; 0, the default, is no limit. */
  perWindow?: number;
  /** Defaults to a minute. */
  windowMs?: number;
}

const MAX_CALLS = 100_000;

/** Starts a stand-in: windows, failures and records are the same for all; the answers are its own. */
export async function startFakeRateProvider(
  options: RateLimitOptions,
  behaviour: RateBehaviour,
): Promise<FakeRateProvider> {
  const { perWindow = 0, windowMs = 60_000 } = options;
  const failures: Failure[] = [];
  const calls: RateCall[] = [];
  const recent: { atMs: number; weight: number }[] = [];
  let over = 0;

  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? '/', 'http://provider');
    const query = Object.fromEntries(url.searchParams);
    const nowMs = Date.now();
    const weight = behaviour.weigh(query);
    if (calls.length >= MAX_CALLS) calls.splice(0, MAX_CALLS / 10);
    const call: RateCall = { atMs: nowMs, status: 0, weight, query };
    calls.push(call);
    const failure = failures.shift();
    if (failure !== undefined) {
      misbehave(response, failure);
      return;
    }
    if (url.pathname !== behaviour.path) {
      send(response, { status: 404, text: '{"error":"not found"}' }, nowMs + provider.skewMs);
      return;
    }
    while (recent[0] !== undefined && recent[0].atMs <= nowMs - windowMs) recent.shift();
    recent.push({ atMs: nowMs, weight });
    const used = recent.reduce((sum, one) => sum + one.weight, 0);
    over = perWindow > 0 && used > perWindow ? over + 1 : 0;
    const answer = behaviour.answer(query, { nowMs: nowMs + provider.skewMs, used, over });
    call.status = answer.status;
    send(response, answer, nowMs + provider.skewMs);
  };

  const server = createServer(handle);
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1');
  await once(server, 'listening');
  const provider: FakeRateProvider = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    skewMs: 0,
    fail: (...planned) => void failures.push(...planned),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return provider;
}

function send(response: ServerResponse, { status, text, headers = {} }: RateAnswer, nowMs: number): void {
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    date: new Date(nowMs).toUTCString(),
    ...headers,
  });
  response.end(text);
}
