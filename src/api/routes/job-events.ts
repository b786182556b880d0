import { type Response, Router } from 'express';
import { isUuid } from '../../core/ids.ts';
import { isFinal, type JobEvent, type JobEventType } from '../../core/job.ts';
import { getJob } from '../../ledger/jobs.ts';
import type { Principal } from '../authenticator.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { releaseInFlight } from '../middleware/observe.ts';
import { invalidInput, jobNotFound, Problem } from '../problem.ts';

const HEARTBEAT_MS = 15_000;
/** A reader that has this much unread is cut off: it may come back with `Last-Event-ID`. */
const MAX_UNREAD_BYTES = 256 * 1_024;

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
  if (principal.openStreams >= deps.limits.maxStreamsPerKey) {
    throw new Problem('TooManyRequests', 'This API key has too many event streams open', {
      headers: { 'Retry-After': '5' },
    });
  }
  principal.openStreams += 1;
  releaseInFlight(res);
  res.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store, no-transform',
    'X-Accel-Buffering': 'no',
  });
  res.flushHeaders();
  const heartbeat = setInterval(() => res.write(': \n\n'), HEARTBEAT_MS);
  const subscription = deps.events.subscribe(jobId, afterSeq, (events) => {
    for (const event of events) res.write(formatEvent(event));
    const last = events.at(-1);
    if (last !== undefined && ENDS.has(last.type)) res.end();
    else if (res.writableLength > MAX_UNREAD_BYTES) res.destroy();
  });
  res.once('close', () => {
    principal.openStreams -= 1;
    clearInterval(heartbeat);
    subscription.close();
  });
}

function formatEvent(event: JobEvent): string {
  const data = {
    jobId: event.jobId,
    seq: event.seq,
    type: event.type,
    at: new Date(event.atMs).toISOString(),
    ...event.data,
  };
  return `id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(data)}\n\n`;
}
