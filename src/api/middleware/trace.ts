import type { RequestHandler } from 'express';
import { type ApiDeps, sentTraceparent } from '../deps.ts';

/** Runs each request in a span that continues the client's trace; a job submitted in it belongs to that trace. */
export function trace({ tracer }: Pick<ApiDeps, 'tracer'>): RequestHandler {
  return (req, res, next) => {
    const attributes = { 'http.request.method': req.method, 'url.path': req.path };
    void tracer.span(
      `HTTP ${req.method}`,
      { kind: 'server', parent: sentTraceparent(req), attributes },
      () => {
        const closed = new Promise<void>((resolve) => {
          res.once('close', resolve);
        });
        next();
        return closed;
      },
    );
  };
}
