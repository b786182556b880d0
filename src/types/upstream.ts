import { LongshoreError, RetryableError, sanitizeText, TerminalError } from '../core/errors.ts';
import type { BudgetRequest, HandlerContext, HandlerResponse } from '../core/handler.ts';

/** How one provider is called. The URL may hold a secret: it appears in no error. */
export interface UpstreamCall {
  /** For messages: `Etherscan`. */
  provider: string;
  url: URL;
  budget: BudgetRequest;
  headers?: Record<string, string>;
  timeoutMs: number;
  maxBytes: number;
  /** Reads the body; throws for what it cannot read. Defaults to `JSON.parse`. */
  parse?(text: string): unknown;
  /** The provider has banned us (418) and says for how long; it is told before the call fails. */
  onBan?(forMs: number): Promise<void>;
}

export interface UpstreamAnswer {
  status: number;
  /** Parsed; NUL and lone surrogates in its strings are as the provider sent them. */
  json: unknown;
  headers: Record<string, string>;
}

/** The longest wait that a provider's `Retry-After` can ask of a job. */
const MAX_RETRY_AFTER_MS = 3_600_000;
/** A ban lasts days at times; one that says nothing, some minutes. */
const MAX_BAN_MS = 4 * 24 * 3_600_000;
const DEFAULT_BAN_MS = 120_000;

type UpstreamContext = Pick<HandlerContext, 'fetch' | 'signal' | 'takeBudget' | 'pauseBudget'>;

/**
 * Calls a provider within its budget and reads its JSON answer. 404 and 400 with a JSON body are answers, too.
 *
 * @throws RetryableError for 429, 418, 5xx, time-outs, broken connections and what is no JSON; TerminalError for other 4xx
 *   and answers that are too large. None carries the URL.
 */
export async function callUpstream(context: UpstreamContext, call: UpstreamCall): Promise<UpstreamAnswer> {
  const { budget } = call;
  if (budget.perSecond > 0 || budget.perDay > 0 || (budget.perMonth ?? 0) > 0)
    await context.takeBudget(budget);
  const response = await send(context, call);
  const { status } = response;
  if (status === 418) throw await banned(call, response);
  if (status === 429) throw await rateLimited(context, call, readRetryAfterMs(response.headers));
  if (status >= 500) {
    throw new RetryableError(
      'UpstreamUnavailable',
      `${call.provider} answered with status ${status}`,
      retryAfter(readRetryAfterMs(response.headers)),
    );
  }
  const json = readBody(response.body, call.parse ?? JSON.parse);
  if (json === undefined && status >= 400) {
    throw new TerminalError('UpstreamRefused', `${call.provider} refused the call with status ${status}`);
  }
  if (json === undefined || (status >= 300 && status < 400)) {
    throw invalidAnswer(call.provider, `an answer of status ${status} that is no JSON`);
  }
  return { status, json, headers: response.headers };
}

async function send(context: UpstreamContext, call: UpstreamCall): Promise<HandlerResponse> {
  try {
    return await context.fetch(call.url, {
      headers: { accept: 'application/json', ...call.headers },
      timeoutMs: call.timeoutMs,
      maxBytes: call.maxBytes,
    });
  } catch (error) {
    context.signal.throwIfAborted();
    throw withoutUrl(call, error);
  }
}

/** Rebuilds the error from its code alone: messages and causes of HTTP clients contain URLs, and so the key. */
function withoutUrl({ provider, timeoutMs, maxBytes }: UpstreamCall, error: unknown): LongshoreError {
  const code = error instanceof LongshoreError ? error.code : '';
  if (code === 'UpstreamTooLarge') {
    return new TerminalError(code, `${provider} answered with more than ${maxBytes} bytes`);
  }
  if (code === 'UpstreamTimeout' || (error instanceof Error && error.name === 'TimeoutError')) {
    return new RetryableError('UpstreamTimeout', `${provider} did not answer within ${timeoutMs} ms`);
  }
  return new RetryableError('UpstreamUnreachable', `The connection to ${provider} failed or broke off`);
}

/** The error of a call that was one too many. A pause that the provider asks for holds for every worker. */
export async function rateLimited(
  context: UpstreamContext,
  { provider, budget }: Pick<UpstreamCall, 'provider' | 'budget'>,
  retryAfterMs: number | undefined,
): Promise<RetryableError> {
  if (retryAfterMs !== undefined) await context.pauseBudget(budget.name, retryAfterMs);
  return new RetryableError(
    'UpstreamRateLimited',
    `${provider} refused the call: too many calls`,
    retryAfter(retryAfterMs),
  );
}

async function banned(call: UpstreamCall, { headers }: HandlerResponse): Promise<RetryableError> {
  const forMs = readRetryAfterMs(headers, Date.now(), MAX_BAN_MS) ?? DEFAULT_BAN_MS;
  await call.onBan?.(forMs);
  return new RetryableError('UpstreamBanned', `${call.provider} has banned this address`, {
    retryAfterMs: forMs,
  });
}

export function invalidAnswer(provider: string, what: string): RetryableError {
  return new RetryableError('UpstreamInvalidAnswer', `${provider} gave ${sanitizeText(what, 200)}`);
}

function retryAfter(retryAfterMs: number | undefined): { retryAfterMs?: number } {
  return retryAfterMs === undefined ? {} : { retryAfterMs };
}

/** `Retry-After` in seconds or as a date; undefined when absent or unreadable. */
export function readRetryAfterMs(
  headers: Record<string, string>,
  now = Date.now(),
  maxMs = MAX_RETRY_AFTER_MS,
): number | undefined {
  const value = headers['retry-after']?.trim();
  if (value === undefined || value === '') return undefined;
  const wait = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - now;
  return Number.isNaN(wait) ? undefined : Math.min(maxMs, Math.max(0, wait));
}

function readBody(body: Buffer, parse: (text: string) => unknown): unknown {
  try {
    return parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
