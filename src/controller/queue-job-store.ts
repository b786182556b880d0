import { ANNOTATIONS } from '../core/kinds/meta.ts';
import type { QueueJob } from '../core/kinds/queue-job.ts';
import type { Logger } from '../core/logger.ts';
import { adoptedJobId } from '../core/queue-job-adoption.ts';
import { looksOurs } from '../core/queue-job-plan.ts';
import { ObjectStore, type StoreChange } from '../kube/store.ts';

/** QueueJobs by key, and by the job that they show: as the annotation says, or as an adopted uid implies. */
export function createQueueJobStore(logger: Logger): ObjectStore<QueueJob> {
  return new ObjectStore<QueueJob>({ logger, indexes: { jobId: jobIdsOf } });
}

function jobIdsOf(object: QueueJob): string[] {
  const { annotations, uid, creationTimestamp } = object.metadata;
  if (looksOurs(object)) return [object.metadata.name];
  const shown = annotations?.[ANNOTATIONS.jobId];
  const own = adoptedJobId(uid ?? '', Date.parse(creationTimestamp ?? '') || 0);
  return shown === undefined || shown === own ? [own] : [own, shown];
}

/** Whether a change asks for a look: one of the status alone is our own writing. */
export function isWorthReconciling({ before, after }: StoreChange<QueueJob>): boolean {
  if (before === undefined || after === undefined) return true;
  const a = before.metadata;
  const b = after.metadata;
  return (
    a.uid !== b.uid ||
    a.generation !== b.generation ||
    a.deletionTimestamp !== b.deletionTimestamp ||
    a.finalizers?.join() !== b.finalizers?.join() ||
    a.annotations?.[ANNOTATIONS.jobId] !== b.annotations?.[ANNOTATIONS.jobId]
  );
}
