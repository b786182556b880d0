import type { ErrorRequestHandler } from 'express';
import { BatcherFullError } from '../../core/batcher.ts';
import { AcceptanceUnknownError } from '../../ledger/accept.ts';
import { isUnavailable } from '../../ledger/database.ts';
import { outcomeUnknown } from '../deadline.ts';
import type { ApiDeps } from '../deps.ts';
import { Problem, sendProblem, unavailable } from '../problem.ts';

/** Every error as a problem document. What went wrong on our side goes to the log, never to the client. */
export function answerErrors(deps: Pick<ApiDeps, 'logger'>): ErrorRequestHandler {
  return (error: unknown, req, res, _next) => {
    const problem = toProblem(error);
    if (problem.status >= 500) {
      const level = problem.code === 'Internal' ? 'error' : 'warn';
      deps.logger[level](
        { err: error, method: req.method, code: problem.code },
        'Failed to answer a request',
      );
    }
    sendProblem(res, problem);
  };
}

export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof BatcherFullError) return unavailable('Too many jobs are being accepted', error);
  if (error instanceof AcceptanceUnknownError) {
    return neverConnected(error.cause)
      ? unavailable('The ledger cannot be reached', error)
      : outcomeUnknown(error);
  }
  if (isUnavailable(error)) return unavailable('The ledger cannot be reached', error);
  const code = (error as { code?: unknown } | null)?.code;
  // 57014: cancelled by the statement timeout.
  if (code === '57014') return unavailable('The ledger took too long', error);
  // Express could not decode the path: such a thing does not exist.
  if (error instanceof URIError) return new Problem('NotFound', 'There is nothing at this path');
  return new Problem('Internal', 'The request failed for a reason on our side', { cause: error });
}

/** Whether there was no connection to begin with: then nothing was carried out, and the client may be told so. */
function neverConnected(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'ENOENT') return true;
  // node-postgres gives its own time-out no code.
  return message === 'timeout exceeded when trying to connect';
}
