import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';
import { MAX_RUN_AT_AHEAD_MS, type NewJob } from './job.ts';
import { findUnsafeJson } from './json-safety.ts';
import { ANNOTATIONS } from './kinds/meta.ts';
import {
  MAX_INLINE_INPUT_BYTES,
  QUEUE_JOB_REASONS,
  type QueueJob,
  type QueueJobReason,
  type QueueJobSpec,
} from './kinds/queue-job.ts';
import { type InputMistake, type KnownType, refuseWithoutUpload } from './known-type.ts';
import { refuseWebhook, type WebhookRules } from './webhook-url.ts';

/** Why an applied QueueJob is refused for good. */
export interface Refusal {
  reason: QueueJobReason;
  message: string;
}

export interface AdoptionContext {
  type: KnownType;
  webhooks: WebhookRules;
  nowMs: number;
}

/** How many mistakes a condition lists: it is for people. */
const MAX_MISTAKES = 5;
const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * The id of an applied QueueJob's job: a UUIDv7 of the moment of its creation whose random part comes from its uid. Whoever
 * adopts the object, however often, comes to the same id; the annotation that shows it need not be trusted.
 */
export function adoptedJobId(uid: string, createdAtMs: number): string {
  const bytes = createHash('sha256').update(`longshore.dev/queuejob/${uid}`).digest().subarray(0, 16);
  bytes.writeUIntBE(createdAtMs, 0, 6);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** SHA-256 of a spec without the fields that may change: shows edits that the API server could not see, and other jobs under one key. */
export function specSha256(spec: QueueJobSpec): string {
  const { suspend: _suspend, cancel: _cancel, ...rest } = spec;
  return createHash('sha256').update(canonicalJson(rest)).digest('hex');
}

/** The job that an applied QueueJob describes, or why it is refused: with everything that is wrong, and where. */
export function judgeQueueJob(
  object: QueueJob,
  context: AdoptionContext,
): { job: NewJob & { resource: NonNullable<NewJob['resource']> } } | { refusal: Refusal } {
  const { spec, metadata } = object;
  const refusal = refuseInput(spec) ?? refuseSpec(spec, context);
  if (refusal !== null) return { refusal };
  const { type, nowMs } = context;
  // Nobody can hand a file over to the API server.
  const fileless = refuseWithoutUpload(type, '/spec/type');
  if (fileless !== null) return { refusal: wrong(QUEUE_JOB_REASONS.invalidInput, [fileless]) };
  const unsafe = findUnsafeJson(spec.input, '/spec/input');
  if (unsafe !== null) return { refusal: wrong(QUEUE_JOB_REASONS.invalidInput, [unsafe]) };
  const checked = type.checkInput(spec.input ?? {}, '/spec/input');
  if ('errors' in checked) return { refusal: wrong(QUEUE_JOB_REASONS.invalidInput, checked.errors) };
  const namespace = metadata.namespace ?? '';
  const uid = metadata.uid ?? '';
  const job = {
    id: adoptedJobId(uid, Date.parse(metadata.creationTimestamp ?? '') || nowMs),
    namespace,
    ...wishesOf(spec, type),
    input: checked.input,
    traceparent: traceparentOf(object),
    resource: { namespace, name: metadata.name, uid },
    blobs: [],
    uniqueKey: null,
  };
  return { job };
}

/** What the spec says, and the type's defaults where it says nothing. */
function wishesOf(spec: QueueJobSpec, { name, defaults }: KnownType) {
  return {
    type: name,
    priority: spec.priority ?? 0,
    runAtMs: spec.runAt === undefined ? null : Date.parse(spec.runAt),
    timeoutSeconds: spec.timeoutSeconds ?? defaults.timeoutSeconds,
    retries: spec.retries ?? defaults.retries,
    backoff: { ...defaults.backoff, ...spec.backoff },
    labels: spec.labels ?? {},
    ttlSecondsAfterFinished: spec.ttlSecondsAfterFinished ?? defaults.ttlSecondsAfterFinished,
    suspended: spec.suspend ?? false,
    webhook: spec.webhook ?? null,
  } satisfies Partial<NewJob>;
}

function traceparentOf({ metadata }: QueueJob): string | null {
  const text = metadata.annotations?.[ANNOTATIONS.traceparent];
  return text !== undefined && TRACEPARENT.test(text) ? text : null;
}

function refuseInput(spec: QueueJobSpec): Refusal | null {
  if (spec.inputRef !== undefined) {
    const detail = 'is for objects that Longshore makes: give input itself';
    return wrong(QUEUE_JOB_REASONS.invalidSpec, [{ pointer: '/spec/inputRef', detail }]);
  }
  const bytes = Buffer.byteLength(JSON.stringify(spec.input ?? {}));
  if (bytes <= MAX_INLINE_INPUT_BYTES) return null;
  const message = `/spec/input: has ${bytes} bytes; a QueueJob holds at most ${MAX_INLINE_INPUT_BYTES}: submit it over REST`;
  return { reason: QUEUE_JOB_REASONS.inputTooLarge, message };
}

function refuseSpec(spec: QueueJobSpec, { type, webhooks, nowMs }: AdoptionContext): Refusal | null {
  const mistakes: InputMistake[] = [];
  const limit = (field: 'timeoutSeconds' | 'retries', most: number): void => {
    if ((spec[field] ?? 0) > most)
      mistakes.push({ pointer: `/spec/${field}`, detail: `must be at most ${most} for this type` });
  };
  limit('timeoutSeconds', type.defaults.maxTimeoutSeconds);
  limit('retries', type.defaults.maxRetries);
  const runAtMs = spec.runAt === undefined ? nowMs : Date.parse(spec.runAt);
  if (!(runAtMs <= nowMs + MAX_RUN_AT_AHEAD_MS))
    mistakes.push({ pointer: '/spec/runAt', detail: 'must be a time at most a year ahead' });
  const webhook = spec.webhook === undefined ? null : refuseWebhook(spec.webhook, webhooks, '/spec/webhook');
  if (webhook !== null) mistakes.push(webhook);
  return mistakes.length === 0 ? null : wrong(QUEUE_JOB_REASONS.invalidSpec, mistakes);
}

function wrong(reason: QueueJobReason, mistakes: readonly InputMistake[]): Refusal {
  const shown = mistakes.slice(0, MAX_MISTAKES).map(({ pointer, detail }) => `${pointer}: ${detail}`);
  const more = mistakes.length > MAX_MISTAKES ? [`and ${mistakes.length - MAX_MISTAKES} more`] : [];
  return { reason, message: [...shown, ...more].join('; ') };
}
