import type { Request, Response } from 'express';
import type { Clock } from '../core/clock.ts';
import type { TypeLookup } from '../core/known-type.ts';
import type { Logger } from '../core/logger.ts';
import type { RateReader } from '../core/rates/rate-reader.ts';
import type { Tracer } from '../core/tracing.ts';
import type { WebhookRules } from '../core/webhook-url.ts';
import type { JobAcceptor } from '../ledger/accept.ts';
import type { Database, Queryable } from '../ledger/database.ts';
import type { Authenticator, Principal } from './authenticator.ts';
import type { EventHub } from './event-hub.ts';
import type { JobReader } from './job-reader.ts';
import type { Intake, ReadingIntake } from './reading-intake.ts';

/** What the API tells of itself. */
export interface ApiMetrics {
  /** One answered request; `route` is the pattern, never the path. */
  observeRequest(method: string, route: string, status: number, seconds: number): void;
  setInFlight(requests: number): void;
  /** One shared insert. */
  observeBatch(batch: { jobs: number; seconds: number; failed: boolean }): void;
  countCacheRead(outcome: 'hit' | 'miss' | 'skipped'): void;
  /** One rate that was asked for. */
  countRateRead(outcome: 'fresh' | 'stale' | 'unknown'): void;
  /** One shared insert of meter readings. */
  observeReadingBatch(batch: { readings: number; seconds: number; failed: boolean }): void;
  countReadings(outcome: Intake['outcome'] | 'failed', readings: number): void;
  /** The spool changed: its size, and how many readings came and went. */
  observeSpool(change: { bytes: number; spooled: number; drained: number }): void;
}

/** Meter readings, beside the jobs that judge them. */
export interface ReadingDeps {
  intake: ReadingIntake;
  /** Asks the read replica, or the ledger itself without one. */
  query<T>(work: (db: Queryable) => Promise<T>): Promise<T>;
  hasReplica: boolean;
  /** Of the meters. */
  timeZone: string;
}

export interface ApiLimits {
  jsonBytes: number;
  imageBytes: number;
  /** How long a body may take to arrive; an upload gets ten times as long. */
  bodyTimeoutMs: number;
  /** How long the work on a request may take before it is answered 503. */
  requestTimeoutMs: number;
  /** Requests under way at once, event streams not counted. */
  maxInFlight: number;
  /** Uploads under way at once. */
  maxUploads: number;
  /** Event streams of one key at once. */
  maxStreamsPerKey: number;
}

/** Everything that the API works with, made by `main.ts` or a test. */
export interface ApiDeps {
  db: Database;
  acceptor: JobAcceptor;
  readings: ReadingDeps;
  types: TypeLookup;
  jobs: JobReader;
  events: EventHub;
  rates: RateReader;
  /** Who asks, by their key; with authentication off, the one principal that everybody is. */
  auth: Authenticator | Principal;
  webhooks: WebhookRules;
  limits: ApiLimits;
  metrics: ApiMetrics;
  logger: Logger;
  clock: Clock;
  /** Of the program, for the OpenAPI document. */
  version: string;
  tracer: Tracer;
}

export function principalOf(res: Response): Principal {
  return res.locals.principal as Principal;
}

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The trace that a job belongs to: the active span's, else the one that the client sent. */
export function traceparentOf(deps: ApiDeps, req: Request): string | null {
  const active = deps.tracer.traceparent();
  if (active !== null) return active;
  return sentTraceparent(req);
}

export function sentTraceparent(req: Request): string | null {
  const sent = req.headers.traceparent;
  return typeof sent === 'string' && TRACEPARENT.test(sent) ? sent : null;
}
