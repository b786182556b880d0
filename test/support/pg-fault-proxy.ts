import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FaultDecision, FaultPlan, type FaultRule, type PlannedFault } from './fault-plan.ts';
import { PgFrames, statementName } from './pg-frames.ts';

/**
 * A PostgreSQL that lies: a TCP proxy that reads the protocol's framing (no TLS), knows each statement by its leading
 * comment, and drops, swallows, delays or hangs the ones that a plan names. A simple query of several statements counts as
 * its first.
 */
export class PgFaultProxy {
  readonly #target: URL;
  readonly #server: Server;
  readonly #plan = new FaultPlan();
  readonly #links = new Set<Link>();
  #isDown = false;

  private constructor(target: URL, server: Server) {
    this.#target = target;
    this.#server = server;
  }

  /** @param targetUrl - Any `postgres://` URL of the server. */
  static async start(targetUrl: string): Promise<PgFaultProxy> {
    const server = createServer();
    const proxy = new PgFaultProxy(new URL(targetUrl), server);
    server.on('connection', (client) => proxy.#onConnection(client));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  /** The same database by way of the proxy. */
  through(url: string): string {
    const proxied = new URL(url);
    proxied.hostname = '127.0.0.1';
    proxied.port = String((this.#server.address() as AddressInfo).port);
    return proxied.toString();
  }

  /** Adds a rule; the first one that applies to a statement decides. */
  plan(rule: FaultRule): PlannedFault {
    return this.#plan.add(rule);
  }

  /** How often a statement of this name came by, and every name seen. */
  seen(name: string): number {
    return this.#plan.seen(name);
  }

  get names(): string[] {
    return this.#plan.names;
  }

  get decisions(): readonly FaultDecision[] {
    return this.#plan.decisions;
  }

  /** Resets every connection, and new ones until `up`. */
  down(): void {
    this.#isDown = true;
    for (const link of this.#links) link.reset();
  }

  up(): void {
    this.#isDown = false;
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.reset();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #onConnection(client: Socket): void {
    if (this.#isDown) {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    const link = new Link(client, this.#target, this.#plan);
    this.#links.add(link);
    client.once('close', () => this.#links.delete(link));
  }
}

/** One client's connection and the one that stands for it at the server. */
class Link {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #plan: FaultPlan;
  readonly #fromClient = new PgFrames({ startup: true });
  readonly #fromServer = new PgFrames({ startup: false });
  #work: Promise<void> = Promise.resolve();
  #state: 'open' | 'hung' | 'swallowing' = 'open';
  #swallowing: FaultDecision | undefined;

  constructor(client: Socket, target: URL, plan: FaultPlan) {
    this.#client = client;
    this.#plan = plan;
    this.#server = dial({ host: target.hostname, port: Number(target.port || 5432) });
    for (const socket of [client, this.#server]) {
      socket.setNoDelay(true);
      socket.on('error', () => this.reset());
      socket.on('close', () => this.reset());
    }
    client.on('data', (data) => {
      this.#work = this.#work.then(() => this.#onClientData(data)).catch(() => this.reset());
    });
    this.#server.on('data', (data) => this.#onServerData(data));
  }

  reset(): void {
    if (!this.#client.destroyed) this.#client.resetAndDestroy();
    this.#server.destroy();
  }

  async #onClientData(data: Buffer): Promise<void> {
    for (const frame of this.#fromClient.push(data)) {
      const name = statementName(frame);
      const decision = name === null ? undefined : this.#plan.decide(name);
      if (decision !== undefined && !(await this.#apply(decision))) return;
      if (this.#state === 'hung') return;
      this.#server.write(frame.bytes);
    }
  }

  /** Answers whether the statement goes on to the server. */
  async #apply(decision: FaultDecision): Promise<boolean> {
    switch (decision.rule.fault) {
      case 'before':
        await this.#plan.verify(decision);
        this.reset();
        return false;
      case 'after':
        this.#state = 'swallowing';
        this.#swallowing = decision;
        return true;
      case 'delay':
        await sleep(decision.rule.delayMs ?? 1_000);
        await this.#plan.verify(decision);
        return true;
      case 'hang':
        this.#state = 'hung';
        await this.#plan.verify(decision);
        return false;
      default:
        return decision.rule.fault satisfies never;
    }
  }

  #onServerData(data: Buffer): void {
    const frames = this.#fromServer.push(data);
    if (this.#state === 'hung') return;
    if (this.#state === 'open') {
      this.#client.write(data);
      return;
    }
    const decision = this.#swallowing;
    if (decision === undefined) return;
    if (frames.some((frame) => frame.type === 'E')) decision.refused = true;
    if (!frames.some((frame) => frame.type === 'Z')) return;
    this.#swallowing = undefined;
    // Executed and, outside an explicit transaction, committed: now the answer is lost.
    void this.#plan.verify(decision).finally(() => this.reset());
  }
}
