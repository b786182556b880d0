import { isFinal, type Job, type NewJob } from '../core/job.ts';
import { iso } from './iso.ts';

/** The time in a UUIDv7: what REST shows as the job's creation, the same in every answer. */
export function createdAtMs(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

/** A job as REST shows it. */
export function viewJob(job: Job): Record<string, unknown> {
  const self = `/v1/jobs/${job.id}`;
  const waits = !isFinal(job.status) && job.runAtMs > job.acceptedAtMs;
  return {
    id: job.id,
    type: job.type,
    status: job.status,
    priority: job.priority,
    labels: job.labels,
    input: job.input,
    timeoutSeconds: job.timeoutSeconds,
    retries: job.retries,
    ttlSecondsAfterFinished: job.ttlSecondsAfterFinished,
    suspended: job.suspended,
    cancelRequested: job.cancelRequested,
    webhook: job.webhook,
    resource: job.resource === null ? null : { namespace: job.resource.namespace, name: job.resource.name },
    attempt: job.attempt,
    failures: job.failures,
    progress: job.progress,
    error: job.error,
    createdAt: iso(createdAtMs(job.id)),
    runAt: waits ? iso(job.runAtMs) : null,
    admittedAt: iso(job.admittedAtMs),
    queuedAt: iso(job.queuedAtMs),
    startedAt: iso(job.startedAtMs),
    finishedAt: iso(job.finishedAtMs),
    version: job.version,
    links: { self, events: `${self}/events`, result: job.status === 'SUCCESS' ? `${self}/result` : null },
  };
}

/** A job that was accepted just now, as the ledger holds it: it need not be read back. */
export function acceptedJob(job: NewJob): Job {
  const acceptedAtMs = createdAtMs(job.id);
  return {
    ...job,
    status: 'CREATED',
    cancelRequested: false,
    attempt: 1,
    failures: 0,
    interruptions: 0,
    progress: null,
    error: null,
    result: null,
    runAtMs: job.runAtMs ?? acceptedAtMs,
    acceptedAtMs,
    admittedAtMs: null,
    queuedAtMs: null,
    startedAtMs: null,
    finishedAtMs: null,
    version: 1,
  };
}
