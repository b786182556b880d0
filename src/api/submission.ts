import { hash } from 'node:crypto';
import { canonicalJson } from '../core/canonical-json.ts';
import type { Clock } from '../core/clock.ts';
import { uuidv7 } from '../core/ids.ts';
import { type JobBlob, MAX_RUN_AT_AHEAD_MS, type NewJob, type UniqueKey } from '../core/job.ts';
import { type KnownType, refuseWithoutUpload, type TypeLookup } from '../core/known-type.ts';
import { refuseWebhook, type WebhookRules } from '../core/webhook-url.ts';
import { invalidInput, type ProblemError } from './problem.ts';
import type { JobRequest } from './schemas.ts';

export interface SubmissionContext {
  namespace: string;
  types: TypeLookup;
  webhooks: WebhookRules;
  clock: Clock;
  traceparent: string | null;
}

export interface SubmissionExtras {
  uniqueKey?: UniqueKey | null;
  blobs?: JobBlob[];
  /** Where the job stands in the body, as a JSON pointer. */
  base?: string;
}

/** A request for a job as the ledger takes it, or an `InvalidInput` problem with every mistake found. */
export async function toNewJob(
  request: JobRequest,
  context: SubmissionContext,
  extras: SubmissionExtras = {},
): Promise<NewJob> {
  const base = extras.base ?? '';
  const found = context.types.get(context.namespace, request.type);
  const type = found instanceof Promise ? await found : found;
  if (type === null) throw invalidInput({ pointer: `${base}/type`, detail: 'there is no such job type' });
  const { blobs = [] } = extras;
  const fileless = blobs.length === 0 ? refuseWithoutUpload(type, `${base}/type`) : null;
  if (fileless !== null) throw invalidInput(fileless);
  const errors: ProblemError[] = [];
  const runAtMs = toRunAtMs(request.runAt, context.clock.now(), base, errors);
  const webhook = checkWebhook(request.webhook, context.webhooks, base, errors);
  checkLimits(request, type, base, errors);
  const checked = type.checkInput(request.input, `${base}/input`);
  if ('errors' in checked) errors.push(...checked.errors);
  if ('errors' in checked || errors.length > 0) throw invalidInput(...errors);
  return {
    id: uuidv7(),
    namespace: context.namespace,
    type: type.name,
    input: checked.input,
    priority: request.priority ?? 0,
    runAtMs,
    timeoutSeconds: request.timeoutSeconds ?? type.defaults.timeoutSeconds,
    retries: request.retries ?? type.defaults.retries,
    backoff: type.defaults.backoff,
    labels: request.labels ?? {},
    ttlSecondsAfterFinished: request.ttlSecondsAfterFinished ?? type.defaults.ttlSecondsAfterFinished,
    suspended: false,
    webhook,
    traceparent: context.traceparent,
    resource: null,
    blobs,
    uniqueKey: extras.uniqueKey ?? null,
  };
}

function toRunAtMs(
  text: string | undefined,
  nowMs: number,
  base: string,
  errors: ProblemError[],
): number | null {
  if (text === undefined) return null;
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) {
    errors.push({ pointer: `${base}/runAt`, detail: 'is no date' });
    return null;
  }
  if (ms > nowMs + MAX_RUN_AT_AHEAD_MS) {
    errors.push({ pointer: `${base}/runAt`, detail: 'must be at most a year ahead' });
  }
  return ms <= nowMs ? null : ms;
}

function checkWebhook(
  webhook: JobRequest['webhook'],
  rules: WebhookRules,
  base: string,
  errors: ProblemError[],
): { url: string } | null {
  if (webhook === undefined) return null;
  const refusal = refuseWebhook(webhook, rules, `${base}/webhook`);
  if (refusal !== null) errors.push(refusal);
  return { url: webhook.url };
}

function checkLimits(request: JobRequest, type: KnownType, base: string, errors: ProblemError[]): void {
  const { maxTimeoutSeconds, maxRetries } = type.defaults;
  if ((request.timeoutSeconds ?? 0) > maxTimeoutSeconds) {
    errors.push({
      pointer: `${base}/timeoutSeconds`,
      detail: `must be at most ${maxTimeoutSeconds} for this type`,
    });
  }
  if ((request.retries ?? 0) > maxRetries) {
    errors.push({ pointer: `${base}/retries`, detail: `must be at most ${maxRetries} for this type` });
  }
}

const IDEMPOTENCY_TTL_SECONDS = 24 * 3_600;

/**
 * The unique key of an `Idempotency-Key` header; null without one. Keys are compared as bytes, for each namespace by
 * itself, and stand for the request's canonical body for 24 hours.
 */
export function toIdempotencyKey(header: string | undefined, body: unknown): UniqueKey | null {
  if (header === undefined) return null;
  if (!/^[\x21-\x7e]{1,255}$/.test(header)) {
    throw invalidInput({ pointer: 'Idempotency-Key', detail: 'must be 1 to 255 visible ASCII characters' });
  }
  return {
    scope: 'idempotency',
    key: header,
    bodySha256: hash('sha256', canonicalJson(body)),
    ttlSeconds: IDEMPOTENCY_TTL_SECONDS,
  };
}
