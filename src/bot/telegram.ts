import { type Api, Bot, type Context, GrammyError, HttpError, InlineKeyboard } from 'grammy';
import type { Logger } from '../core/logger.ts';
import { waitForDependency } from '../lifecycle/wait-for.ts';
import type { Button, Reply } from './wording.ts';

export type AllowedUpdate = 'message' | 'callback_query' | 'my_chat_member';
/** Nothing else is sent to us. */
export const ALLOWED_UPDATES: readonly AllowedUpdate[] = ['message', 'callback_query', 'my_chat_member'];

export type Update = Parameters<Bot['handleUpdate']>[0];

/** Longer than a long poll. */
const CLIENT_TIMEOUT_SECONDS = 40;
const CALL_TIMEOUT_MS = 10_000;

type Signal = Parameters<Api['getMe']>[0];

/** grammY names the signals of a package; those of Node.js do the same. */
export function toSignal(signal: AbortSignal): Exclude<Signal, undefined> {
  return signal as unknown as Exclude<Signal, undefined>;
}

/** Ends a single call in time, or with `parent`. */
export function callSignal(parent?: AbortSignal): Exclude<Signal, undefined> {
  const deadline = AbortSignal.timeout(CALL_TIMEOUT_MS);
  return toSignal(parent === undefined ? deadline : AbortSignal.any([parent, deadline]));
}

export function createClient(token: string, apiUrl: string): Bot {
  return new Bot(token, {
    client: { apiRoot: apiUrl.replace(/\/+$/, ''), timeoutSeconds: CLIENT_TIMEOUT_SECONDS },
  });
}

export function toKeyboard(rows: readonly (readonly Button[])[]): InlineKeyboard {
  return InlineKeyboard.from(rows.map((row) => row.map(({ text, data }) => InlineKeyboard.text(text, data))));
}

/** What a reply has beside its text. */
export function toOptions({ buttons }: Reply) {
  return {
    link_preview_options: { is_disabled: true },
    ...(buttons === undefined ? {} : { reply_markup: toKeyboard(buttons) }),
  };
}

/** Why a call failed. The error itself must never be logged: what is inside of it names the URL, which has the token in it. */
export type CallFailure =
  | { kind: 'limited'; retryAfterMs: number; reason: string }
  /** The bot was blocked, thrown out, or the chat is gone. */
  | { kind: 'gone'; reason: string }
  | { kind: 'moved'; chatId: number; reason: string }
  /** Another process polls, or a webhook is set. */
  | { kind: 'conflict'; reason: string }
  | { kind: 'unauthorized'; reason: string }
  /** The same call will never pass. */
  | { kind: 'refused'; reason: string }
  /** Telegram, or the way to it, is down: later it may pass. */
  | { kind: 'unavailable'; reason: string };

const GONE =
  /chat not found|user is deactivated|bot was (blocked|kicked)|not a member|have no rights|group chat was deleted/i;

export function readFailure(error: unknown): CallFailure {
  if (error instanceof GrammyError) return readRefusal(error);
  const inner = error instanceof HttpError ? error.error : error;
  const code = (inner as { code?: unknown } | null)?.code;
  const name = inner instanceof Error ? inner.name : 'Error';
  return { kind: 'unavailable', reason: typeof code === 'string' ? code : name };
}

/** What may be logged of a failed call. */
class CallError extends Error {
  override name = 'CallError';
  readonly failure: CallFailure;

  constructor(error: unknown) {
    const failure = readFailure(error);
    super(failure.reason);
    this.failure = failure;
  }
}

/** Makes a call until Telegram takes it, however long that takes. Rejects with the signal's reason once that aborts. */
export function untilTaken<Answer>(
  call: (signal: Exclude<Signal, undefined>) => Promise<Answer>,
  { logger, signal }: { logger: Logger; signal: AbortSignal },
): Promise<Answer> {
  const probe = (ending: AbortSignal) =>
    call(toSignal(ending)).catch((error: unknown) => {
      throw new CallError(error);
    });
  return waitForDependency('Telegram', probe, {
    ...{ logger, signal, probeTimeoutMs: CALL_TIMEOUT_MS, baseMs: 500, maxMs: 30_000 },
    pauseAfter: (error) =>
      error instanceof CallError && error.failure.kind === 'limited' ? error.failure.retryAfterMs : undefined,
  });
}

const KINDS_OF_STATUS = {
  401: 'unauthorized',
  // The path has the token in it, so this is what a token of nobody gets.
  404: 'unauthorized',
  403: 'gone',
  409: 'conflict',
} as const;

function readRefusal({ error_code: status, description, parameters }: GrammyError): CallFailure {
  const reason = `${status}: ${description}`.slice(0, 200);
  if (status === 429)
    return { kind: 'limited', retryAfterMs: Math.min(3_600, parameters.retry_after ?? 5) * 1_000, reason };
  if (parameters.migrate_to_chat_id !== undefined)
    return { kind: 'moved', chatId: parameters.migrate_to_chat_id, reason };
  if (status === 400) return { kind: GONE.test(description) ? 'gone' : 'refused', reason };
  const kind = (KINDS_OF_STATUS as Record<number, 'unauthorized' | 'gone' | 'conflict'>)[status];
  return { kind: kind ?? (status >= 500 ? 'unavailable' : 'refused'), reason };
}

export type { Api, Bot, Context };
