import { type Response, Router } from 'express';
import type { NewJob, UniqueKey } from '../../core/job.ts';
import { type Accepted, acceptJobs } from '../../ledger/accept.ts';
import { isOutcomeUnknown, withTransaction } from '../../ledger/database.ts';
import { getJobs } from '../../ledger/jobs.ts';
import { MAX_MISTAKES } from '../../types/input-mistakes.ts';
import { outcomeUnknown, withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { acceptedJob, viewJob } from '../job-view.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { invalidInput, Problem, type ProblemError } from '../problem.ts';
import { readJson } from '../read-body.ts';
import { sendJson } from '../respond.ts';
import { batchRequest, jobRequest } from '../schemas.ts';
import { type SubmissionContext, toIdempotencyKey, toNewJob } from '../submission.ts';
import { parseWith } from '../validation.ts';
import { submissionContext } from './jobs.ts';

/** Many jobs, all or none. */
export function jobBatchRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.post('/v1/jobs\\:batch', requireScope('submit'), async (req, res) => {
    const body = await readJson(req, {
      maxBytes: deps.limits.jsonBytes,
      timeoutMs: deps.limits.bodyTimeoutMs,
    });
    const key = toIdempotencyKey(req.get('Idempotency-Key'), body);
    const jobs = await toNewJobs(parseWith(batchRequest, body).jobs, submissionContext(deps, req, res), key);
    const accepted = await withDeadline(acceptAll(deps, jobs), deps.limits.requestTimeoutMs, outcomeUnknown);
    await answer(deps, res, jobs, accepted);
  });
  return router;
}

async function toNewJobs(
  requests: readonly unknown[],
  context: SubmissionContext,
  key: UniqueKey | null,
): Promise<NewJob[]> {
  const jobs: NewJob[] = [];
  const errors: ProblemError[] = [];
  for (const [index, request] of requests.entries()) {
    const base = `/jobs/${index}`;
    // Each job has a key of its own under the batch's, so that a repeated batch finds every one of them.
    const uniqueKey = key === null ? null : { ...key, key: `${key.key} ${index}` };
    try {
      jobs.push(await toNewJob(parseWith(jobRequest, request, base), context, { base, uniqueKey }));
    } catch (error) {
      if (!(error instanceof Problem) || error.errors === undefined) throw error;
      errors.push(...error.errors);
      if (errors.length >= MAX_MISTAKES) break;
    }
  }
  if (errors.length > 0) throw invalidInput(...errors.slice(0, MAX_MISTAKES));
  return jobs;
}

async function acceptAll(deps: ApiDeps, jobs: NewJob[]): Promise<Accepted[]> {
  try {
    return await withTransaction(deps.db, async (client) => {
      const accepted = await acceptJobs(client, jobs);
      const outcomes = new Set(accepted.map((answer) => answer.outcome));
      // Thrown inside of the transaction: nothing of a batch whose key is taken may stay.
      if (outcomes.has('conflict') || outcomes.size > 1) {
        throw new Problem('IdempotencyConflict', 'This Idempotency-Key was used for another request');
      }
      return accepted;
    });
  } catch (error) {
    throw isOutcomeUnknown(error) ? outcomeUnknown(error) : error;
  }
}

async function answer(deps: ApiDeps, res: Response, jobs: NewJob[], accepted: Accepted[]): Promise<void> {
  if (accepted[0]?.outcome === 'created') {
    sendJson(res, 201, { jobs: jobs.map((job) => viewJob(acceptedJob(job))) });
    return;
  }
  const ids = accepted.map(({ jobId }) => jobId);
  const { namespace } = principalOf(res);
  const found = new Map(
    (await withDeadline(getJobs(deps.db, ids), deps.limits.requestTimeoutMs)).map((job) => [job.id, job]),
  );
  const first = ids.flatMap((id) => found.get(id) ?? []).filter((job) => job.namespace === namespace);
  sendJson(res, 200, { jobs: first.map(viewJob) });
}
