import type { z } from 'zod';
import type { Backoff } from './job.ts';

/** What a type's jobs get when they say nothing themselves, and the most they may ask for. */
export interface JobTypeDefaults {
  timeoutSeconds: number;
  maxTimeoutSeconds: number;
  retries: number;
  maxRetries: number;
  backoff: Backoff;
  ttlSecondsAfterFinished: number;
}

/** Limits that the ledger enforces at the claim, over all workers of a namespace together; null is no limit. */
export interface JobTypeLimits {
  maxRunning: number | null;
  /** Starts in any `perSeconds` seconds. */
  rate: { count: number; perSeconds: number } | null;
  /** Name of the provider's budget without which no run of it goes on: what waits for it calls for no pods. */
  budget?: string;
}

/**
 * A kind of work: its name, the schemas of its input and result, its defaults and limits. The API validates with it,
 * the controller plans with it, a worker runs a handler for it.
 */
export interface JobType<Input extends z.ZodType = z.ZodType, Result extends z.ZodType = z.ZodType> {
  /** kebab-case, ≤ 63 characters: part of queue names and labels. */
  name: string;
  description: string;
  input: Input;
  result: Result;
  defaults: JobTypeDefaults;
  limits: JobTypeLimits;
  /** The one request that brings the file which jobs of this type need; null when they need none. */
  upload: string | null;
}

export const DEFAULT_JOB_TYPE_DEFAULTS: JobTypeDefaults = {
  timeoutSeconds: 300,
  maxTimeoutSeconds: 86_400,
  retries: 3,
  maxRetries: 20,
  backoff: { baseMs: 1_000, maxMs: 300_000 },
  ttlSecondsAfterFinished: 3_600,
};

const NAME = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

export function isJobTypeName(name: string): boolean {
  return NAME.test(name);
}

export interface JobTypeDefinition<Input extends z.ZodType, Result extends z.ZodType> {
  name: string;
  description: string;
  input: Input;
  result: Result;
  defaults?: Partial<JobTypeDefaults>;
  limits?: Partial<JobTypeLimits>;
  upload?: string;
}

/** Declares a type, filling in defaults. Throws a `TypeError` for a name that Kubernetes would refuse. */
export function defineJobType<Input extends z.ZodType, Result extends z.ZodType>(
  definition: JobTypeDefinition<Input, Result>,
): JobType<Input, Result> {
  if (!isJobTypeName(definition.name)) {
    throw new TypeError(
      `"${definition.name}" is no job type name: lower-case letters, digits and "-", at most 63`,
    );
  }
  return Object.freeze({
    ...definition,
    defaults: { ...DEFAULT_JOB_TYPE_DEFAULTS, ...definition.defaults },
    limits: { maxRunning: null, rate: null, ...definition.limits },
    upload: definition.upload ?? null,
  });
}
