import type { Request, RequestHandler, Response } from 'express';
import type { ApiDeps } from '../deps.ts';
import { sendProblem, unavailable } from '../problem.ts';

/** A request that takes longer is worth a line in the log. */
const SLOW_SECONDS = 1;

/**
 * Counts, measures and bounds requests: above `maxInFlight` they are refused before anything is read of them. One log line
 * a request: `info` for failures of ours and slow ones, `debug` for the rest.
 */
export function observe(deps: Pick<ApiDeps, 'metrics' | 'logger' | 'limits'>): RequestHandler {
  const { metrics, logger, limits } = deps;
  let inFlight = 0;
  return (req, res, next) => {
    const startedAt = performance.now();
    inFlight += 1;
    metrics.setInFlight(inFlight);
    let counted = true;
    // An event stream lives as long as its job: it has a limit of its own.
    const release = () => {
      if (!counted) return;
      counted = false;
      inFlight -= 1;
      metrics.setInFlight(inFlight);
    };
    res.locals.release = release;
    res.once('close', () => {
      release();
      const seconds = (performance.now() - startedAt) / 1_000;
      const route = routeOf(req, res);
      metrics.observeRequest(req.method, route, res.statusCode, seconds);
      const level = res.statusCode >= 500 || (seconds > SLOW_SECONDS && !isStream(res)) ? 'info' : 'debug';
      logger[level](
        { method: req.method, route, status: res.statusCode, seconds, aborted: !res.writableFinished },
        'Answered a request',
      );
    });
    if (inFlight > limits.maxInFlight) sendProblem(res, unavailable('Too many requests are under way'));
    else next();
  };
}

/** Takes a long-lived answer out of the count of requests under way. */
export function releaseInFlight(res: Response): void {
  res.locals.stream = true;
  (res.locals.release as (() => void) | undefined)?.();
}

function isStream(res: Response): boolean {
  return res.locals.stream === true;
}

function routeOf(req: Request, _res: Response): string {
  const path: unknown = req.route?.path;
  return typeof path === 'string' ? path.replaceAll('\\', '') : 'none';
}
