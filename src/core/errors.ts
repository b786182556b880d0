/**
 * Errors carry a stable `code` that is written to the ledger, shown by the API and counted in metrics. Three families
 * decide what happens to a job: a retryable error is tried again with back-off, a terminal one ends the job, anything
 * else is a bug in the handler and ends it too.
 */
export class LongshoreError extends Error {
  /** Stable, CamelCase; part of the public contract. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The same attempt may succeed later: a time-out, a 5xx, a rate limit. */
export class RetryableError extends LongshoreError {
  /** Do not try again before this many milliseconds have passed; the type's back-off applies when absent. */
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, options?: ErrorOptions & { retryAfterMs?: number }) {
    super(code, message, options);
    this.retryAfterMs = options?.retryAfterMs;
  }
}

/** Trying again cannot help: bad input, a contract that is not verified. */
export class TerminalError extends LongshoreError {}

/**
 * Gives the job back without spending an attempt: the handler has to wait for something longer than it may hold a
 * worker (a provider's budget).
 */
export class HandBackError extends LongshoreError {
  readonly delayMs: number;

  constructor(code: string, message: string, delayMs: number) {
    super(code, message);
    this.delayMs = delayMs;
  }
}

/** The lease is not ours any more: another delivery of the job may be running. Stop, and write nothing. */
export class LeaseLostError extends LongshoreError {
  constructor(jobId: string) {
    super('LeaseLost', `The lease of job ${jobId} was lost`);
  }
}

/** What the ledger keeps of an error. */
export interface JobError {
  code: string;
  message: string;
  retryable: boolean;
}

const MAX_MESSAGE_LENGTH = 1_024;

/** Control, bidirectional-override and line-separator characters, but tab and new line: they deceive whoever reads a terminal. */
const UNSAFE_CHARACTERS = /[[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]--[\t\n]]/gv;

/** Text of strangers (an upstream's message, a file name) made fit for logs, statuses and terminals: ≤ 1,024 characters. */
export function sanitizeText(text: string, maxLength = MAX_MESSAGE_LENGTH): string {
  const clean = text.replace(UNSAFE_CHARACTERS, ' ').toWellFormed();
  return clean.length <= maxLength ? clean : `${clean.slice(0, maxLength - 1)}…`;
}

/** An error of any origin as the ledger keeps it. An error of unknown family is a bug of the handler: `HandlerFailed`. */
export function toJobError(error: unknown): JobError {
  if (error instanceof LongshoreError) {
    return {
      code: error.code,
      message: sanitizeText(error.message),
      retryable: error instanceof RetryableError,
    };
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { code: 'HandlerFailed', message: sanitizeText(message), retryable: false };
}
