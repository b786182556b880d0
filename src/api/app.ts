import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { noTracer } from '../core/tracing.ts';
import type { ApiDeps } from './deps.ts';
import { authenticate } from './middleware/authenticate.ts';
import { answerErrors } from './middleware/errors.ts';
import { observe } from './middleware/observe.ts';
import { trace } from './middleware/trace.ts';
import { allowedMethods } from './operations.ts';
import { Problem } from './problem.ts';
import { contractRoutes } from './routes/contracts.ts';
import { imageRoutes } from './routes/images.ts';
import { jobActionRoutes } from './routes/job-actions.ts';
import { jobBatchRoutes } from './routes/job-batch.ts';
import { jobEventRoutes } from './routes/job-events.ts';
import { jobResultRoutes } from './routes/job-result.ts';
import { jobTypeRoutes } from './routes/job-types.ts';
import { jobRoutes } from './routes/jobs.ts';
import { meterReadingRoutes } from './routes/meter-readings.ts';
import { meterRoutes } from './routes/meters.ts';
import { pageRoutes } from './routes/pages.ts';
import { rateHistoryRoutes } from './routes/rate-history.ts';
import { rateStreamRoutes } from './routes/rate-stream.ts';
import { rateRoutes } from './routes/rates.ts';
import { readingFileRoutes } from './routes/reading-files.ts';
import { scheduleRoutes } from './routes/schedules.ts';
import { tradeInfoRoutes } from './routes/trade-info.ts';

/** The HTTP API as an Express application. Pure wiring: it opens no port and no connection. */
export function createApp(deps: ApiDeps): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').disable('query parser');
  app.enable('case sensitive routing').enable('strict routing');
  app.use(observe(deps));
  if (deps.tracer !== noTracer) app.use(trace(deps));
  app.use(securityHeaders());
  app.use('/v1', authenticate(deps));
  // Those that are asked most come first: Express goes through its routes one by one.
  app.use(meterReadingRoutes(deps));
  app.use(jobRoutes(deps));
  app.use(rateRoutes(deps));
  app.use(contractRoutes(deps));
  app.use(imageRoutes(deps));
  app.use(jobActionRoutes(deps));
  app.use(jobBatchRoutes(deps));
  app.use(jobResultRoutes(deps));
  app.use(jobEventRoutes(deps));
  app.use(scheduleRoutes(deps));
  app.use(rateHistoryRoutes(deps));
  app.use(rateStreamRoutes(deps));
  app.use(tradeInfoRoutes(deps));
  app.use(jobTypeRoutes(deps));
  app.use(meterRoutes(deps));
  app.use(readingFileRoutes(deps));
  app.use(pageRoutes(deps.version));
  app.use(answerUnknown);
  app.use(answerErrors(deps));
  return app;
}

/**
 * For answers that are data: nothing in them may run, be framed or be guessed at. What only concerns pages is left out
 * here, since every header costs each request; pages set their own policy.
 */
function securityHeaders(): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    crossOriginOpenerPolicy: false,
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xFrameOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  });
}

const answerUnknown: RequestHandler = (req) => {
  const allowed = allowedMethods(req.path);
  if (allowed.length === 0) throw new Problem('NotFound', 'There is nothing at this path');
  const allow = allowed.join(', ');
  throw new Problem('MethodNotAllowed', `Allowed here: ${allow}`, { headers: { Allow: allow } });
};
