import { promises as dns, type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { Agent, request } from 'undici';
import { isPublicAddress, refuseWebhookUrl, type WebhookPolicy } from '../core/webhook-url.ts';

/** The addresses of a name. */
export type Resolve = (hostname: string) => Promise<LookupAddress[]>;

export interface WebhookSenderOptions {
  policy: WebhookPolicy;
  /** Connections to one target at once. */
  perTarget: number;
  /** Time for the connection, DNS included. Defaults to 5 s. */
  connectTimeoutMs?: number;
  /** Time for everything, from the connection to the end of the answer. Defaults to 15 s. */
  deadlineMs?: number;
  /** Defaults to DNS; to what the machine's own resolver says when private addresses are allowed. */
  resolve?: Resolve;
}

/** Why a webhook did not arrive; `final` when trying again is no use. */
export class WebhookFailure extends Error {
  override name = 'WebhookFailure';
  readonly final: boolean;

  constructor(reason: string, options: { final?: boolean; cause?: unknown } = {}) {
    super(reason, { cause: options.cause });
    this.final = options.final ?? false;
  }
}

/** Bytes of an answer that are read before the connection is dropped. */
const MAX_ANSWER_BYTES = 64 * 1_024;

/** Sends one POST to a stranger's URL: to public addresses only, no redirects followed, everything under a deadline. */
export class WebhookSender {
  readonly #policy: WebhookPolicy;
  readonly #deadlineMs: number;
  readonly #agent: Agent;

  constructor(options: WebhookSenderOptions) {
    const connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
    this.#policy = options.policy;
    this.#deadlineMs = options.deadlineMs ?? 15_000;
    const resolve = options.resolve ?? (options.policy.allowPrivate ? lookUp : queryDns(connectTimeoutMs));
    this.#agent = new Agent({
      connections: options.perTarget,
      connect: { timeout: connectTimeoutMs, lookup: checkedLookup(resolve, options.policy) },
      headersTimeout: this.#deadlineMs,
      bodyTimeout: this.#deadlineMs,
      // A connection is for one delivery: the next one's address is looked up and judged anew.
      pipelining: 0,
      allowH2: false,
    });
  }

  /** Resolves when the target has answered 2xx. @throws WebhookFailure for every other end. */
  async send(url: string, headers: Record<string, string>, body: string, signal: AbortSignal): Promise<void> {
    const refusal = refuseWebhookUrl(url, this.#policy);
    if (refusal !== null) throw new WebhookFailure(`RefusedUrl: the URL ${refusal}`, { final: true });
    const deadline = AbortSignal.timeout(this.#deadlineMs);
    try {
      const answer = await request(url, {
        method: 'POST',
        headers,
        body,
        dispatcher: this.#agent,
        signal: AbortSignal.any([signal, deadline]),
      });
      await drain(answer.body);
      if (answer.statusCode >= 200 && answer.statusCode < 300) return;
      throw new WebhookFailure(`Http${answer.statusCode}: the target answered ${answer.statusCode}`);
    } catch (error) {
      if (error instanceof WebhookFailure) throw error;
      if (deadline.aborted)
        throw new WebhookFailure(`Timeout: no whole answer within ${this.#deadlineMs} ms`, { cause: error });
      throw new WebhookFailure(describe(error), { cause: error });
    }
  }

  /** Breaks whatever is under way. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

/** Reads the answer and throws it away; a long one is cut off, which is not a failure. */
async function drain(body: AsyncIterable<Buffer> & { destroy(): unknown }): Promise<void> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) break;
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'NetworkError: the call failed';
  const code = (error as { code?: unknown }).code;
  // Constant words for the code, nothing of what the stranger's side said.
  return `NetworkError: ${typeof code === 'string' ? code : error.name}`;
}

/** What the socket connects to is what was judged: one answer that is not public refuses all of them. */
function checkedLookup(resolve: Resolve, policy: WebhookPolicy): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname).then(
      (addresses) => {
        const [first] = addresses;
        if (first === undefined) return callback(withCode('ENOTFOUND', `${hostname} has no address`), []);
        if (!policy.allowPrivate && !addresses.every(({ address }) => isPublicAddress(address)))
          return callback(withCode('PrivateAddress', `${hostname} leads to a private address`), []);
        if (options.all === true) return callback(null, addresses);
        return callback(null, first.address, first.family);
      },
      (error: Error) => callback(error, []),
    );
  };
}

function withCode(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

function lookUp(hostname: string): Promise<LookupAddress[]> {
  return dns.lookup(hostname, { all: true });
}

/** DNS itself: `getaddrinfo` would let a few names without an answer occupy all threads of the process. */
function queryDns(timeoutMs: number): Resolve {
  const resolver = new dns.Resolver({ timeout: Math.ceil(timeoutMs / 2), tries: 2 });
  return async (hostname) => {
    const [v4, v6] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
    if (v4.status === 'rejected' && v6.status === 'rejected') throw v4.reason;
    return [
      ...(v4.status === 'fulfilled' ? v4.value : []).map((address) => ({ address, family: 4 })),
      ...(v6.status === 'fulfilled' ? v6.value : []).map((address) => ({ address, family: 6 })),
    ];
  };
}
