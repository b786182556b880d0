import { Problem } from './problem.ts';

/** `work`, or the problem of `onTimeout` when it takes longer than `ms`; the work itself goes on and is not waited for. */
export function withDeadline<T>(
  work: Promise<T>,
  ms: number,
  onTimeout: () => Problem = deadlineExceeded,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(onTimeout()), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function deadlineExceeded(): Problem {
  return new Problem('Unavailable', 'The request took too long', { headers: { 'Retry-After': '1' } });
}

/** A write whose answer did not come: the client asks again with the same idempotency key, or looks. */
export function outcomeUnknown(cause?: unknown): Problem {
  return new Problem('OutcomeUnknown', 'Ask again with the same Idempotency-Key', {
    headers: { 'Retry-After': '1' },
    ...(cause === undefined ? {} : { cause }),
  });
}
