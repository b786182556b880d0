import { type Response, Router } from 'express';
import { isUuid } from '../../core/ids.ts';
import { isFinal, type JobEvent, type JobEventType } from '../../core/job.ts';
import { getJob } from '../../ledger/jobs.ts';
import type { Principal } from '../authenticator.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { openEventStream, type StreamedEvent } from '../event-stream.ts';
import { iso } from '../iso.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { invalidInput, jobNotFound } from '../problem.ts';

const ENDS: ReadonlySet<JobEventType> = new Set(['succeeded', 'failed', 'cancelled']);

/** A job's events as they happen, until it ends. */
export function jobEventRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.get('/v1/jobs/:id/events', requireScope('read'), async (req, res) => {
    const id = req.params.id as string;
    const principal = principalOf(res);
    const afterSeq = toSeq(req.get('Last-Event-ID'));
    if (!isUuid(id)) throw jobNotFound();
    const job = await withDeadline(getJob(deps.db, principal.namespace, id), deps.limits.requestTimeoutMs);
    if (job === null) throw jobNotFound();
    if (isFinal(job.status) && afterSeq >= job.version) {
      // Tells an EventSource that there is nothing to come back for.
      res.status(204).end();
      return;
    }
    stream(deps, res, principal, id, afterSeq);
  });
  return router;
}

function toSeq(header: string | undefined): number {
  if (header === undefined || header === '') return 0;
  if (/^\d{1,15}$/.test(header)) return Number(header);
  throw invalidInput({ pointer: 'Last-Event-ID', detail: 'must be the id of an event' });
}

function stream(deps: ApiDeps, res: Response, principal: Principal, jobId: string, afterSeq: number): void {
  const events = openEventStream(res, principal, deps.limits);
  const subscription = deps.events.subscribe(jobId, afterSeq, (news) => {
    for (const event of news) events.send(toStreamed(event));
    const last = news.at(-1);
    if (last !== undefined && ENDS.has(last.type)) events.end();
  });
  events.onClose(() => subscription.close());
}

function toStreamed({ jobId, seq, type, atMs, data }: JobEvent): StreamedEvent {
  return { id: seq, event: type, data: { jobId, seq, type, at: iso(atMs), ...data } };
}
