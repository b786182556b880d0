import { Router } from 'express';
import { z } from 'zod';
import { isUuid } from '../../core/ids.ts';
import { isFinal, type Job } from '../../core/job.ts';
import { listJobBlobs, type OwnedBlob } from '../../ledger/blobs.ts';
import { getJob } from '../../ledger/jobs.ts';
import { sendBlob } from '../content.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { jobNotFound, Problem } from '../problem.ts';
import { sendJson } from '../respond.ts';
import { parseQuery } from '../validation.ts';

export const resultQuery = z.strictObject({
  blob: z.string().refine(isUuid, { error: 'must be the id of a blob' }).optional(),
});

/** What a job produced: the bytes of its only blob, else JSON; `?blob=` picks one of several. */
export function jobResultRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.get('/v1/jobs/:id/result', requireScope('read'), async (req, res) => {
    const id = req.params.id as string;
    const { namespace } = principalOf(res);
    const query = parseQuery(resultQuery, req.url);
    const timeoutMs = deps.limits.requestTimeoutMs;
    const job = isUuid(id) ? await withDeadline(getJob(deps.db, namespace, id), timeoutMs) : null;
    if (job === null) throw jobNotFound();
    requireSuccess(job);
    const wantsJson = /^application\/json\b/.test(req.get('Accept') ?? '');
    const blob = await withDeadline(pickBlob(deps, job, query.blob, wantsJson), timeoutMs);
    if (blob === null) sendJson(res, 200, job.result ?? null);
    else await sendBlob(deps.db, req, res, blob);
  });
  return router;
}

/** The blob that is asked for, or the only one; null when the answer is JSON. */
async function pickBlob(
  deps: ApiDeps,
  job: Job,
  blobId: string | undefined,
  wantsJson: boolean,
): Promise<OwnedBlob | null> {
  const hasBlobs = job.blobs.some((blob) => blob.role === 'result');
  const blobs = hasBlobs ? await listJobBlobs(deps.db, job.namespace, job.id, 'result') : [];
  if (blobId === undefined) return blobs.length === 1 && !wantsJson ? (blobs[0] ?? null) : null;
  const found = blobs.find((blob) => blob.blobId === blobId);
  if (found === undefined) throw new Problem('NotFound', 'The job has no such blob');
  return found;
}

/** Throws the problem that tells why a job has no result. */
export function requireSuccess(job: Job): void {
  if (!isFinal(job.status)) {
    throw new Problem('JobUnfinished', 'The job has no result yet', { headers: { 'Retry-After': '1' } });
  }
  if (job.status === 'CANCELLED') throw new Problem('JobFailed', 'The job was cancelled');
  if (job.status === 'ERROR') {
    throw new Problem('JobFailed', `The job failed: ${job.error?.code ?? 'HandlerFailed'}`);
  }
}
