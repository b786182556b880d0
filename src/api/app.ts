import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import type { ApiDeps } from './deps.ts';
import { authenticate } from './middleware/authenticate.ts';
import { answerErrors } from './middleware/errors.ts';
import { observe } from './middleware/observe.ts';
import { Problem } from './problem.ts';
import { jobRoutes } from './routes/jobs.ts';

/** The HTTP API as an Express application. Pure wiring: it opens no port and no connection. */
export function createApp(deps: ApiDeps): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').disable('query parser');
  app.enable('case sensitive routing').enable('strict routing');
  app.use(observe(deps));
  app.use(securityHeaders());
  app.use('/v1', authenticate(deps));
  app.use(jobRoutes(deps));
  app.use(answerUnknown);
  app.use(answerErrors(deps));
  return app;
}

/** For answers that are data: nothing in them may run, be framed or be guessed at. Pages set their own policy. */
function securityHeaders(): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
  });
}

const answerUnknown: RequestHandler = () => {
  throw new Problem('NotFound', 'There is nothing at this path');
};
