import { createHash } from 'node:crypto';
import { ANNOTATIONS, API_VERSION, LABELS, MANAGED_BY } from './kinds/meta.ts';
import { MAX_INLINE_INPUT_BYTES, type QueueJob, type QueueJobSpec } from './kinds/queue-job.ts';

/** What a QueueJob of ours is made from. */
export interface ManifestSource {
  id: string;
  namespace: string;
  type: string;
  input: unknown;
  priority: number;
  runAtMs: number;
  retries: number;
  timeoutSeconds: number;
  ttlSecondsAfterFinished: number;
  suspended: boolean;
  labels: Record<string, string>;
  traceparent: string | null;
}

/**
 * The QueueJob that shows a job of the ledger: named by the job's id, without finalizer, owner or status. A webhook is left
 * out, because its URL may hold a secret and etcd is read by more people than the ledger.
 */
export function toQueueJob(job: ManifestSource, nowMs: number): QueueJob {
  return {
    apiVersion: API_VERSION,
    kind: 'QueueJob',
    metadata: {
      name: job.id,
      namespace: job.namespace,
      labels: { [LABELS.managedBy]: MANAGED_BY, [LABELS.type]: job.type },
      annotations: {
        [ANNOTATIONS.jobId]: job.id,
        ...(job.traceparent === null ? {} : { [ANNOTATIONS.traceparent]: job.traceparent }),
      },
    },
    spec: {
      type: job.type,
      ...inputOf(job.input),
      ...(job.priority === 0 ? {} : { priority: job.priority }),
      ...(job.runAtMs > nowMs ? { runAt: new Date(job.runAtMs).toISOString() } : {}),
      retries: job.retries,
      timeoutSeconds: job.timeoutSeconds,
      ttlSecondsAfterFinished: job.ttlSecondsAfterFinished,
      ...(job.suspended ? { suspend: true } : {}),
      ...(Object.keys(job.labels).length === 0 ? {} : { labels: job.labels }),
    },
  };
}

/** Input goes into the object while it is small and an object itself; otherwise only its measure does. */
function inputOf(input: unknown): Pick<QueueJobSpec, 'input' | 'inputRef'> {
  const text = JSON.stringify(input ?? null);
  const bytes = Buffer.byteLength(text);
  if (typeof input === 'object' && input !== null && !Array.isArray(input) && bytes <= MAX_INLINE_INPUT_BYTES)
    return { input: input as Record<string, unknown> };
  return { inputRef: { bytes, sha256: createHash('sha256').update(text).digest('hex') } };
}
