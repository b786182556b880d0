import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FaultDecision, FaultPlan, type FaultRule, type PlannedFault } from './fault-plan.ts';
import { cutCommands, measureReply, type RespCommand } from './resp.ts';

/**
 * A Redis that lies: a TCP proxy that reads RESP commands and replies. A command's name is its first word in lower case;
 * a script of BullMQ goes by its own name, such as `addPrioritizedJob`.
 */
export class RedisFaultProxy {
  readonly #target: URL;
  readonly #server: Server;
  readonly #plan = new FaultPlan();
  readonly #links = new Set<Link>();
  #isDown = false;

  private constructor(target: URL, server: Server) {
    this.#target = target;
    this.#server = server;
  }

  static async start(targetUrl: string): Promise<RedisFaultProxy> {
    const server = createServer();
    const proxy = new RedisFaultProxy(new URL(targetUrl), server);
    server.on('connection', (client) => proxy.#onConnection(client));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  plan(rule: FaultRule): PlannedFault {
    return this.#plan.add(rule);
  }

  seen(name: string): number {
    return this.#plan.seen(name);
  }

  get names(): string[] {
    return this.#plan.names;
  }

  get decisions(): readonly FaultDecision[] {
    return this.#plan.decisions;
  }

  /** Resets every connection (answers how many), which come again at once. */
  resetAll(): number {
    const count = this.#links.size;
    for (const link of this.#links) link.reset();
    return count;
  }

  /** Resets every connection, and new ones until `up`. */
  down(): void {
    this.#isDown = true;
    this.resetAll();
  }

  up(): void {
    this.#isDown = false;
  }

  async close(): Promise<void> {
    this.resetAll();
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

/** One client's connection. Replies come in the order of the commands, so counting them tells which one to swallow. */
class Link {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #plan: FaultPlan;
  #commands: Buffer = Buffer.alloc(0);
  #replies: Buffer = Buffer.alloc(0);
  #sent = 0;
  #answered = 0;
  #swallow: { reply: number; decision: FaultDecision } | undefined;
  #isHung = false;
  #work: Promise<void> = Promise.resolve();

  constructor(client: Socket, target: URL, plan: FaultPlan) {
    this.#client = client;
    this.#plan = plan;
    this.#server = dial({ host: target.hostname, port: Number(target.port || 6379) });
    for (const socket of [client, this.#server]) {
      socket.setNoDelay(true);
      socket.on('error', () => this.reset());
      socket.on('close', () => this.reset());
    }
    client.on('data', (data) => {
      this.#work = this.#work.then(() => this.#onCommands(data)).catch(() => this.reset());
    });
    this.#server.on('data', (data) => this.#onReplies(data));
  }

  reset(): void {
    if (!this.#client.destroyed) this.#client.resetAndDestroy();
    this.#server.destroy();
  }

  async #onCommands(data: Buffer): Promise<void> {
    const { commands, rest } = cutCommands(Buffer.concat([this.#commands, data]));
    this.#commands = rest;
    for (const command of commands) {
      // What follows a command whose answer gets lost was never sent, as far as its client can tell.
      if (this.#isHung || this.#swallow !== undefined) return;
      const decision = this.#plan.decide(commandName(command));
      if (decision !== undefined && !(await this.#apply(decision))) return;
      this.#sent += 1;
      this.#server.write(command.bytes);
    }
  }

  /** Answers whether the command goes on to the server. */
  async #apply(decision: FaultDecision): Promise<boolean> {
    switch (decision.rule.fault) {
      case 'before':
        await this.#plan.verify(decision);
        this.reset();
        return false;
      case 'after':
        this.#swallow = { reply: this.#sent + 1, decision };
        return true;
      case 'delay':
        await sleep(decision.rule.delayMs ?? 1_000);
        await this.#plan.verify(decision);
        return true;
      case 'hang':
        this.#isHung = true;
        await this.#plan.verify(decision);
        return false;
      default:
        return decision.rule.fault satisfies never;
    }
  }

  #onReplies(data: Buffer): void {
    if (this.#isHung) return;
    this.#replies = Buffer.concat([this.#replies, data]);
    for (;;) {
      const length = measureReply(this.#replies, 0);
      if (length === null) return;
      const reply = this.#replies.subarray(0, length);
      // A push answers no command.
      if (reply[0] !== PUSH) this.#answered += 1;
      this.#replies = this.#replies.subarray(length);
      if (this.#swallow?.reply === this.#answered) {
        const { decision } = this.#swallow;
        if (reply[0] === MINUS) decision.refused = true;
        void this.#plan.verify(decision).finally(() => this.reset());
        return;
      }
      this.#client.write(reply);
    }
  }
}

const MINUS = 0x2d;
const PUSH = 0x3e;

function commandName({ words }: RespCommand): string {
  const name = words[0]?.toLowerCase() ?? '';
  if (name !== 'evalsha' && name !== 'eval') return name;
  const sha = name === 'evalsha' ? (words[1] ?? '') : sha1(words[1] ?? '');
  return scriptNames().get(sha) ?? name;
}

let names: Map<string, string> | undefined;

/** BullMQ's scripts by the SHA-1 under which Redis knows them. */
function scriptNames(): Map<string, string> {
  if (names === undefined) {
    const require = createRequire(import.meta.url);
    const folder = join(dirname(require.resolve('bullmq')), 'scripts');
    const scripts = readdirSync(folder)
      .filter((file) => /-\d+\.js$/.test(file))
      .flatMap((file) => Object.entries(require(join(folder, file)) as Record<string, { content: string }>));
    names = new Map(scripts.map(([name, { content }]) => [sha1(content), name]));
  }
  return names;
}

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}
