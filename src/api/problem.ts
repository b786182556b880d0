import type { Response } from 'express';

/** One mistake in a request; `pointer` is a JSON pointer into the body, or `?name` for a query parameter. */
export interface ProblemError {
  pointer: string;
  detail: string;
}

/** What can go wrong, by its stable code: status and title. docs/problems.md describes each. */
const PROBLEMS = {
  InvalidRequest: [400, 'The request is not HTTP'],
  InvalidJson: [400, 'The body is not JSON'],
  InvalidInput: [400, 'The request has mistakes'],
  InvalidCursor: [400, 'The cursor is not valid here'],
  Unauthenticated: [401, 'A valid API key is needed'],
  Forbidden: [403, 'The API key does not allow this'],
  NotFound: [404, 'There is no such thing'],
  MethodNotAllowed: [405, 'The method is not allowed here'],
  NotAcceptable: [406, 'The answer has no such form'],
  RequestTimeout: [408, 'The request took too long to arrive'],
  JobUnfinished: [409, 'The job has not finished'],
  JobFinished: [409, 'The job has finished'],
  JobFailed: [409, 'The job has no result'],
  ImportTakenOver: [409, 'Another run imports this file'],
  ScheduleOwned: [409, 'The schedule belongs to a resource'],
  ResultGone: [410, 'The result is not kept any more'],
  PayloadTooLarge: [413, 'The body is too large'],
  UnsupportedMediaType: [415, 'The content type is not supported'],
  RangeNotSatisfiable: [416, 'The range lies outside of the result'],
  IdempotencyConflict: [422, 'The idempotency key stands for another request'],
  TooManyRequests: [429, 'There are too many requests'],
  HeadersTooLarge: [431, 'The headers are too large'],
  Internal: [500, 'Something went wrong here'],
  Unavailable: [503, 'The service cannot take the request now'],
  OutcomeUnknown: [503, 'It is not known whether the request was carried out'],
} as const satisfies Record<string, readonly [number, string]>;

export type ProblemCode = keyof typeof PROBLEMS;

export const PROBLEM_CODES = Object.keys(PROBLEMS) as ProblemCode[];

export interface ProblemOptions {
  errors?: ProblemError[];
  headers?: Record<string, string>;
  cause?: unknown;
}

/** An answer in the form of RFC 9457. Its `detail` is shown to the client: no stack, no address, no secret. */
export class Problem extends Error {
  override name = 'Problem';
  readonly code: ProblemCode;
  readonly status: number;
  readonly errors: ProblemError[] | undefined;
  readonly headers: Record<string, string> | undefined;

  constructor(code: ProblemCode, detail: string, options: ProblemOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = PROBLEMS[code][0];
    this.errors = options.errors;
    this.headers = options.headers;
  }

  toJSON(): Record<string, unknown> {
    return {
      type: problemType(this.code),
      title: PROBLEMS[this.code][1],
      status: this.status,
      detail: this.message,
      code: this.code,
      ...(this.errors === undefined ? {} : { errors: this.errors }),
    };
  }
}

/** The relative URI that names a kind of problem: `/problems/invalid-input`. */
export function problemType(code: ProblemCode): string {
  return `/problems/${code.replace(/(?<=[a-z])[A-Z]/g, '-$&').toLowerCase()}`;
}

/** The one answer for whatever is not there, is another namespace's, or cannot be an id. */
export function jobNotFound(): Problem {
  return new Problem('NotFound', 'There is no such job');
}

export function invalidInput(...errors: ProblemError[]): Problem {
  const first = errors[0];
  const detail =
    errors.length === 1 && first !== undefined
      ? `${first.pointer === '' ? 'The body' : first.pointer}: ${first.detail}`
      : `The request has ${errors.length} mistakes`;
  return new Problem('InvalidInput', detail, { errors });
}

/** Full or without a dependency: the client is told when to come again. */
export function unavailable(detail: string, cause?: unknown, retryAfterSeconds = 1): Problem {
  return new Problem('Unavailable', detail, { cause, headers: { 'Retry-After': String(retryAfterSeconds) } });
}

export function sendProblem(res: Response, problem: Problem): void {
  if (res.headersSent) {
    // The answer had begun: breaking the connection is the only way left to say that it is not complete.
    res.destroy();
    return;
  }
  for (const name of ['ETag', 'Content-Disposition', 'Accept-Ranges', 'Content-Range'])
    res.removeHeader(name);
  for (const [name, value] of Object.entries(problem.headers ?? {})) res.setHeader(name, value);
  const body = Buffer.from(JSON.stringify(problem));
  res.statusCode = problem.status;
  res.setHeader('Content-Type', 'application/problem+json');
  res.setHeader('Content-Length', body.length);
  res.setHeader('Cache-Control', 'no-store');
  res.end(res.req.method === 'HEAD' ? undefined : body);
}
