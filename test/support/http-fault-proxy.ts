import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  createServer,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A request as the plan sees it. */
export interface ProxiedRequest {
  method: string;
  /** Without the query. */
  path: string;
  query: URLSearchParams;
  isWatch: boolean;
}

export type Fault =
  /** The connection breaks before the server sees the request. */
  | { kind: 'before' }
  /** The server executes it; the connection breaks instead of an answer. */
  | { kind: 'after' }
  /** An answer of the proxy's own, not of the server. */
  | { kind: 'status'; status: number; body?: string; headers?: Record<string, string> }
  /** No answer ever; `executed` lets the server do it first. */
  | { kind: 'hang'; executed?: boolean }
  | { kind: 'delay'; delayMs: number };

export interface FaultPlan {
  match(request: ProxiedRequest): boolean;
  fault: Fault;
  /** Defaults to 1; `Infinity` until `remove`. */
  times?: number;
}

export interface ActivePlan {
  readonly hits: number;
  /** What the server answered to the requests that it executed although the fault kept the answer back; 0 for none. */
  readonly executed: readonly number[];
  /** Rejects with the hits so far when there are too few after `timeoutMs` (10,000 unless told). */
  waitForHits(count: number, timeoutMs?: number): Promise<void>;
  remove(): void;
}

export interface HttpFaultProxy {
  readonly url: string;
  /** All requests so far, in order. */
  readonly requests: readonly ProxiedRequest[];
  /** Streams of watches that are open now. */
  readonly openWatches: number;
  /** The first plan that matches and is not used up applies. */
  plan(plan: FaultPlan): ActivePlan;
  /** `reset` breaks them, `end` ends them well, `silence` keeps them open and swallows all that comes. Answers how many. */
  cutWatches(how: 'reset' | 'end' | 'silence'): number;
  close(): Promise<void>;
}

export interface HttpFaultProxyOptions {
  /** Where requests go, such as `https://127.0.0.1:6443`. */
  target: string;
  /** Certificate authorities of an https target. */
  caPath?: string;
}

interface LivePlan extends FaultPlan {
  hits: number;
  executed: number[];
}

interface OpenWatch {
  upstream: IncomingMessage;
  response: ServerResponse;
}

/** A proxy on 127.0.0.1 (plain HTTP) that lets requests through until a plan says otherwise. */
export async function startHttpFaultProxy(options: HttpFaultProxyOptions): Promise<HttpFaultProxy> {
  const target = new URL(options.target);
  const isTls = target.protocol === 'https:';
  const ca = options.caPath === undefined ? undefined : readFileSync(options.caPath);
  const agent = isTls ? new HttpsAgent({ keepAlive: true, ca }) : new HttpAgent({ keepAlive: true });
  const plans: LivePlan[] = [];
  const requests: ProxiedRequest[] = [];
  const watches = new Set<OpenWatch>();

  const forward = (
    incoming: IncomingMessage,
    onAnswer: (answer: IncomingMessage) => void,
    onError: () => void,
  ) => {
    const url = new URL(incoming.url ?? '/', target);
    const headers = { ...incoming.headers, host: target.host };
    const upstream = (isTls ? httpsRequest : httpRequest)(
      url,
      { method: incoming.method, headers, agent },
      onAnswer,
    );
    upstream.on('error', onError);
    incoming.pipe(upstream);
    return upstream;
  };

  const pass = (incoming: IncomingMessage, response: ServerResponse, isWatch: boolean): void => {
    const upstream = forward(
      incoming,
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        // A watch without events must reach its client before the first one.
        response.flushHeaders();
        answer.pipe(response);
        answer.on('error', () => response.destroy());
        if (!isWatch) return;
        const watch = { upstream: answer, response };
        watches.add(watch);
        response.once('close', () => watches.delete(watch));
      },
      () => response.destroy(),
    );
    response.once('close', () => upstream.destroy());
  };

  const execute = async (incoming: IncomingMessage, { executed }: LivePlan): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<number>();
    forward(
      incoming,
      (answer) => answer.resume().once('end', () => resolve(answer.statusCode ?? 0)),
      () => resolve(0),
    );
    executed.push(await promise);
  };

  const apply = async (
    plan: LivePlan,
    incoming: IncomingMessage,
    response: ServerResponse,
    isWatch: boolean,
  ) => {
    const { fault } = plan;
    switch (fault.kind) {
      case 'delay':
        await sleep(fault.delayMs);
        return pass(incoming, response, isWatch);
      case 'before':
        return void response.destroy();
      case 'after':
        await execute(incoming, plan);
        return void response.destroy();
      case 'hang':
        return fault.executed === true ? execute(incoming, plan) : undefined;
      case 'status':
        incoming.resume();
        response.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers });
        return void response.end(fault.body ?? '{}');
    }
  };

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(incoming.url ?? '/', target);
    const isWatch = ['true', '1'].includes(url.searchParams.get('watch') ?? '');
    const seen = { method: incoming.method ?? '', path: url.pathname, query: url.searchParams, isWatch };
    requests.push(seen);
    const plan = plans.find((candidate) => candidate.hits < (candidate.times ?? 1) && candidate.match(seen));
    if (plan !== undefined) plan.hits += 1;
    if (plan === undefined) pass(incoming, response, isWatch);
    else await apply(plan, incoming, response, isWatch);
  };

  const server = createServer((incoming, response) => {
    handle(incoming, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const cut = ({ upstream, response }: OpenWatch, how: 'reset' | 'end' | 'silence'): void => {
    upstream.unpipe(response);
    if (how === 'reset') response.destroy();
    else if (how === 'end') response.end();
    else upstream.resume();
  };

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get openWatches() {
      return watches.size;
    },
    plan: (plan) => {
      const live: LivePlan = { ...plan, hits: 0, executed: [] };
      plans.push(live);
      return {
        get hits() {
          return live.hits;
        },
        executed: live.executed,
        waitForHits: async (count, timeoutMs = 10_000) => {
          const deadline = Date.now() + timeoutMs;
          while (live.hits < count) {
            if (Date.now() > deadline) throw new Error(`${live.hits} of ${count} hits after ${timeoutMs} ms`);
            await sleep(5);
          }
        },
        remove: () => {
          plans.splice(plans.indexOf(live), 1);
        },
      };
    },
    cutWatches: (how) => {
      const open = [...watches];
      for (const watch of open) cut(watch, how);
      return open.length;
    },
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}
