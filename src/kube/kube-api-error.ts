import { LongshoreError, sanitizeText } from '../core/errors.ts';

/** The API server's own description of a failure (`metav1.Status`). */
export interface KubeStatus {
  message?: string;
  reason?: string;
  code?: number;
  details?: { retryAfterSeconds?: number; causes?: { field?: string; message?: string; reason?: string }[] };
}

/**
 * Every failure of a call to the API server. `status` is HTTP's, or 0 when there was no answer: then `reason` is
 * `Timeout` or `Unreachable`, and a write may or may not have happened.
 */
export class KubeApiError extends LongshoreError {
  readonly status: number;
  /** Kubernetes' reason (`NotFound`, `AlreadyExists`, `Conflict`, `Invalid`, `Expired`…). */
  readonly reason: string;
  readonly details: KubeStatus['details'];
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    body: KubeStatus,
    options?: ErrorOptions & { retryAfterMs?: number | undefined },
  ) {
    const reason = body.reason !== undefined && body.reason !== '' ? body.reason : `Http${status}`;
    super(`Kube${reason}`, sanitizeText(body.message ?? `The API server answered ${status}`), options);
    this.status = status;
    this.reason = reason;
    this.details = body.details;
    const seconds = body.details?.retryAfterSeconds;
    this.retryAfterMs = options?.retryAfterMs ?? (seconds === undefined ? undefined : seconds * 1_000);
  }
}

function hasStatus(error: unknown, status: number): error is KubeApiError {
  return error instanceof KubeApiError && error.status === status;
}

export function isNotFound(error: unknown): error is KubeApiError {
  return hasStatus(error, 404);
}

/** The object exists already; a 409 like `Conflict`, but another matter. */
export function isAlreadyExists(error: unknown): error is KubeApiError {
  return hasStatus(error, 409) && error.reason === 'AlreadyExists';
}

/** Somebody changed the object meanwhile, or a precondition (uid, resourceVersion) did not hold. */
export function isConflict(error: unknown): error is KubeApiError {
  return hasStatus(error, 409) && error.reason !== 'AlreadyExists';
}

/** The resourceVersion or the continue token is too old: list again. */
export function isGone(error: unknown): error is KubeApiError {
  return hasStatus(error, 410) || (error instanceof KubeApiError && error.reason === 'Expired');
}

/** The object breaks its schema or a validation rule; trying again is no use. */
export function isInvalid(error: unknown): error is KubeApiError {
  return hasStatus(error, 422) || (hasStatus(error, 400) && error.reason === 'BadRequest');
}

export function isForbidden(error: unknown): error is KubeApiError {
  return hasStatus(error, 403) || hasStatus(error, 401);
}

export function isTooManyRequests(error: unknown): error is KubeApiError {
  return hasStatus(error, 429);
}

/** No answer: the API server is away, or slow. Whether a write happened is unknown. */
export function isUnanswered(error: unknown): error is KubeApiError {
  return hasStatus(error, 0);
}
