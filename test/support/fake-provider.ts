import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How a stand-in provider misbehaves for one address. */
export type Failure =
  | { kind: 'status'; status: number; retryAfter?: string }
  | { kind: 'hang' | 'drip' | 'html' | 'half-body' | 'broken-json' | 'reset' }
  | { kind: 'huge'; bytes: number }
  | { kind: 'json'; body: unknown };

export interface FailurePlan {
  failure: Failure;
  /** Calls that fail before it behaves again; defaults to all. */
  times?: number;
}

export interface RecordedCall {
  atMs: number;
  address: string;
  chainId: string;
  limited: boolean;
}

export interface FakeProviderOptions {
  /** Defaults to 127.0.0.1. */
  host?: string;
  port?: number;
  /** Calls in any second, as a sliding window; 0, the default, is no limit. */
  perSecond?: number;
  /** Answers every address that it does not know with a source made from the address. Defaults to false. */
  unlimited?: boolean;
}

/** A running stand-in. */
export interface FakeProvider {
  url: string;
  /** The last 100,000 calls, oldest first. */
  calls: RecordedCall[];
  /** Lets calls for an address (lower case) fail; null ends it. */
  fail(address: string, plan: FailurePlan | null): void;
  close(): Promise<void>;
}

export interface ProviderRequest {
  url: URL;
  address: string;
  chainId: string;
}

export interface Answer {
  status: number;
  body: unknown;
}

interface Behaviour {
  path: string;
  parse(url: URL): ProviderRequest | null;
  answer(request: ProviderRequest): Answer;
  limited(): Answer;
}

const MAX_CALLS = 100_000;

/** Starts a stand-in: limits, failures and records are the same for all; the answers are its own. */
export async function startFakeProvider(
  options: FakeProviderOptions,
  behaviour: Behaviour,
): Promise<FakeProvider> {
  const calls: RecordedCall[] = [];
  const plans = new Map<string, FailurePlan & { left: number }>();
  const allow = createSlidingWindow(options.perSecond ?? 0);

  const handle = (incoming: IncomingMessage, response: ServerResponse): void => {
    const request = behaviour.parse(new URL(incoming.url ?? '/', 'http://provider'));
    if (request === null) {
      sendJson(response, { status: 404, body: { message: 'no such route' } });
      return;
    }
    const atMs = performance.timeOrigin + performance.now();
    const limited = !allow(atMs);
    if (calls.length >= MAX_CALLS) calls.splice(0, MAX_CALLS / 10);
    calls.push({ atMs, address: request.address, chainId: request.chainId, limited });
    const plan = plans.get(request.address);
    if (limited) {
      sendJson(response, behaviour.limited());
    } else if (plan !== undefined && plan.left > 0) {
      plan.left -= 1;
      misbehave(response, plan.failure);
    } else {
      sendJson(response, behaviour.answer(request));
    }
  };

  const server = createServer(handle);
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${behaviour.path}`,
    calls,
    fail(address, plan) {
      if (plan === null) plans.delete(address);
      else plans.set(address, { ...plan, left: plan.times ?? Number.POSITIVE_INFINITY });
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Refused calls count, too, as they do at the providers. */
function createSlidingWindow(perSecond: number): (nowMs: number) => boolean {
  const recent: number[] = [];
  return (nowMs) => {
    if (perSecond === 0) return true;
    while (recent[0] !== undefined && recent[0] <= nowMs - 1_000) recent.shift();
    recent.push(nowMs);
    return recent.length <= perSecond;
  };
}

function sendJson(response: ServerResponse, { status, body }: Answer): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': bytes.length,
  });
  response.end(bytes);
}

/** Lets one answer go wrong. */
export function misbehave(response: ServerResponse, failure: Failure): void {
  switch (failure.kind) {
    case 'status':
      response.writeHead(
        failure.status,
        failure.retryAfter === undefined ? {} : { 'retry-after': failure.retryAfter },
      );
      response.end('{"message":"failed on request"}');
      return;
    case 'json':
      sendJson(response, { status: 200, body: failure.body });
      return;
    case 'html':
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end('<!doctype html><title>Just a moment</title>');
      return;
    case 'broken-json':
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{"status":"1","result":[{"SourceCode":');
      return;
    case 'half-body':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1_000 });
      response.write('{"status":"1",', () => response.destroy());
      return;
    case 'reset':
      response.destroy();
      return;
    case 'hang':
      return;
    case 'drip':
      drip(response);
      return;
    case 'huge':
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(Buffer.alloc(failure.bytes, ' '));
      return;
    default:
      failure satisfies never;
  }
}

/** One byte a second until the caller has had enough. */
function drip(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write('{');
  const timer = setInterval(() => response.write(' '), 1_000);
  response.once('close', () => clearInterval(timer));
}
