import type { Request, Response } from 'express';
import { Router } from 'express';
import { isUuid } from '../../core/ids.ts';
import type { NewJob } from '../../core/job.ts';
import { getJob, type JobFilter, listJobs } from '../../ledger/jobs.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { outcomeUnknown, withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf, traceparentOf } from '../deps.ts';
import { acceptedJob, viewJob } from '../job-view.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { jobNotFound, Problem } from '../problem.ts';
import { readJson } from '../read-body.ts';
import { sendJson, sendJsonText } from '../respond.ts';
import { DEFAULT_PAGE_LIMIT, jobListQuery, jobRequest } from '../schemas.ts';
import { toIdempotencyKey, toNewJob } from '../submission.ts';
import { parseQuery, parseWith } from '../validation.ts';

/** Submitting, reading and listing jobs. */
export function jobRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.post('/v1/jobs', requireScope('submit'), async (req, res) => {
    const body = await readJson(req, {
      maxBytes: deps.limits.jsonBytes,
      timeoutMs: deps.limits.bodyTimeoutMs,
    });
    const context = submissionContext(deps, req, res);
    const uniqueKey = toIdempotencyKey(req.get('Idempotency-Key'), body);
    await acceptAndAnswer(deps, res, await toNewJob(parseWith(jobRequest, body), context, { uniqueKey }));
  });
  router.get('/v1/jobs/:id', requireScope('read'), async (req, res) => {
    const id = req.params.id as string;
    const json = isUuid(id) ? await readJobJson(deps, res, id) : null;
    if (json === null) throw jobNotFound();
    sendJsonText(res, 200, json);
  });
  router.get('/v1/jobs', requireScope('read'), async (req, res) => {
    sendJson(res, 200, await listPage(deps, principalOf(res).namespace, req.url));
  });
  return router;
}

function readJobJson(deps: ApiDeps, res: Response, id: string): Promise<string | null> {
  return withDeadline(deps.jobs.readJson(principalOf(res).namespace, id), deps.limits.requestTimeoutMs);
}

export function submissionContext(deps: ApiDeps, req: Request, res: Response) {
  const { types, webhooks, clock } = deps;
  return {
    namespace: principalOf(res).namespace,
    types,
    webhooks,
    clock,
    traceparent: traceparentOf(deps, req),
  };
}

/** Answers 201 with the new job, or 200 with the first one under the same key. Resolves to what became of it. */
export async function acceptAndAnswer(
  deps: ApiDeps,
  res: Response,
  job: NewJob,
): Promise<'created' | 'existing'> {
  const timeoutMs = deps.limits.requestTimeoutMs;
  const accepted = await withDeadline(deps.acceptor.accept(job), timeoutMs, outcomeUnknown);
  if (accepted.outcome === 'conflict') {
    throw new Problem('IdempotencyConflict', 'This Idempotency-Key was used for another request');
  }
  if (accepted.outcome === 'created') {
    res.setHeader('Location', `/v1/jobs/${accepted.jobId}`);
    sendJson(res, 201, viewJob(acceptedJob(job)));
    return 'created';
  }
  const first = await withDeadline(getJob(deps.db, job.namespace, accepted.jobId), timeoutMs);
  if (first === null) throw new Problem('NotFound', 'The job of this key is not kept any more');
  res.setHeader('Location', `/v1/jobs/${first.id}`);
  sendJson(res, 200, viewJob(first));
  return 'existing';
}

async function listPage(deps: ApiDeps, namespace: string, url: string) {
  const { limit = DEFAULT_PAGE_LIMIT, cursor, ...query } = parseQuery(jobListQuery, url);
  // A job belongs to the namespace of the key, an applied one's resource to the same.
  const filter = { namespace, ...query } as JobFilter;
  const beforeId = cursor === undefined ? null : decodeCursor(cursor, filter);
  const found = await withDeadline(
    listJobs(deps.db, filter, { limit: limit + 1, beforeId }),
    deps.limits.requestTimeoutMs,
  );
  const jobs = found.slice(0, limit);
  const last = jobs.at(-1);
  return {
    jobs: jobs.map(viewJob),
    nextCursor: found.length > limit && last !== undefined ? encodeCursor(last.id, filter) : null,
  };
}
