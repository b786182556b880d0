import { type Response, Router } from 'express';
import { isUuid, uuidv7 } from '../../core/ids.ts';
import { type BulkOperation, createBulkOperation, getBulkOperation } from '../../ledger/bulk-operations.ts';
import { cancelJobs, getJob, retryJobs } from '../../ledger/jobs.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { iso } from '../iso.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { jobNotFound, Problem } from '../problem.ts';
import { readJson } from '../read-body.ts';
import { sendJson, sendJsonText } from '../respond.ts';
import { bulkRequest } from '../schemas.ts';
import { parseWith } from '../validation.ts';

/** Cancelling and retrying: one job at once, many by a bulk operation. */
export function jobActionRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const submit = requireScope('submit');
  for (const kind of ['cancel', 'retry'] as const) {
    router.post(`/v1/jobs\\:${kind}`, submit, async (req, res) => {
      const body = await readJson(req, {
        maxBytes: deps.limits.jsonBytes,
        timeoutMs: deps.limits.bodyTimeoutMs,
      });
      await startBulk(deps, res, kind, parseWith(bulkRequest, body));
    });
  }
  router.get('/v1/bulk-operations/:id', requireScope('read'), async (req, res) => {
    const id = req.params.id as string;
    const { namespace } = principalOf(res);
    const found = isUuid(id) ? await deadline(deps, getBulkOperation(deps.db, namespace, id)) : null;
    if (found === null) throw new Problem('NotFound', 'There is no such bulk operation');
    sendJson(res, 200, viewBulk(found));
  });
  router.post('/v1/jobs/:id\\:retry', submit, async (req, res) => {
    const id = req.params.id as string;
    const { namespace } = principalOf(res);
    if (!isUuid(id)) throw jobNotFound();
    const outcome = (await deadline(deps, retryJobs(deps.db, namespace, [id]))).get(id) ?? 'missing';
    if (outcome === 'missing') throw jobNotFound();
    if (outcome === 'succeeded') throw new Problem('JobFinished', 'A job that succeeded cannot be retried');
    if (outcome === 'unfinished')
      throw new Problem('JobUnfinished', 'Only a failed or cancelled job can be retried');
    await answerJob(deps, res, id, 200);
  });
  router.delete('/v1/jobs/:id', submit, async (req, res) => {
    const id = req.params.id as string;
    const { namespace } = principalOf(res);
    if (!isUuid(id)) throw jobNotFound();
    const outcome = (await deadline(deps, cancelJobs(deps.db, namespace, [id]))).get(id) ?? 'missing';
    if (outcome === 'missing') throw jobNotFound();
    if (outcome === 'finished')
      throw new Problem('JobFinished', 'A job that has finished cannot be cancelled');
    // 202: its worker hears of it when it renews its lease.
    await answerJob(deps, res, id, outcome === 'cancelled' ? 200 : 202);
  });
  return router;
}

function deadline<T>(deps: ApiDeps, work: Promise<T>): Promise<T> {
  return withDeadline(work, deps.limits.requestTimeoutMs);
}

async function answerJob(deps: ApiDeps, res: Response, id: string, status: number): Promise<void> {
  const job = await deadline(deps, getJob(deps.db, principalOf(res).namespace, id));
  if (job === null) throw jobNotFound();
  sendJsonText(res, status, deps.jobs.remember(job));
}

async function startBulk(
  deps: ApiDeps,
  res: Response,
  kind: BulkOperation['kind'],
  filter: ReturnType<typeof bulkRequest.parse>,
): Promise<void> {
  const id = uuidv7();
  const given = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
  const operation = await deadline(
    deps,
    createBulkOperation(deps.db, {
      id,
      kind,
      namespace: principalOf(res).namespace,
      filter: { ...given, untilId: id },
    }),
  );
  res.setHeader('Location', `/v1/bulk-operations/${id}`);
  sendJson(res, 202, viewBulk(operation));
}

function viewBulk(operation: BulkOperation): Record<string, unknown> {
  const { untilId: _, label, ...filter } = operation.filter;
  return {
    id: operation.id,
    kind: operation.kind,
    filter: { ...filter, ...(label === undefined ? {} : { label: `${label.key}=${label.value}` }) },
    state: operation.state,
    matched: operation.matched,
    changed: operation.changed,
    createdAt: iso(operation.createdAtMs),
    finishedAt: iso(operation.finishedAtMs),
    links: { self: `/v1/bulk-operations/${operation.id}` },
  };
}
