import { Router } from 'express';
import { DEFAULT_JOB_TYPE_DEFAULTS } from '../../core/job-type.ts';
import { listJobTypes, type StoredJobType } from '../../ledger/job-types.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { sendJson } from '../respond.ts';

/** The types that a namespace may submit. */
export function jobTypeRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.get('/v1/job-types', requireScope('read'), async (_req, res) => {
    const types = await withDeadline(
      listJobTypes(deps.db, principalOf(res).namespace),
      deps.limits.requestTimeoutMs,
    );
    sendJson(res, 200, { jobTypes: types.map(viewJobType) });
  });
  return router;
}

function viewJobType(type: StoredJobType): Record<string, unknown> {
  return {
    name: type.name,
    description: type.description,
    inputSchema: type.inputSchema,
    resultSchema: type.resultSchema,
    defaults: { ...DEFAULT_JOB_TYPE_DEFAULTS, ...type.defaults },
    limits: type.limits,
    paused: type.paused,
  };
}
