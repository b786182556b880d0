import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Seconds, from a cached read to a slow upload. */
const REQUEST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
/** Seconds, from a job that starts at once to one that waited an hour. */
const PHASE_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 3_600];
const BATCH_BUCKETS = [1, 2, 5, 10, 25, 50, 100, 200, 500, 1_000];

/** A registry with the metrics of Node.js itself, its event-loop delay among them; every sample says which process it is of. */
export function createRegistry(process: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ process });
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 10 });
  return registry;
}

/** All metrics as text, in the shape that the health server asks for. */
export function exposition(registry: Registry): () => Promise<{ contentType: string; body: string }> {
  return async () => ({ contentType: registry.contentType, body: await registry.metrics() });
}

export type StatusClass = '2xx' | '3xx' | '4xx' | '5xx';
const STATUS_CLASSES: readonly StatusClass[] = ['2xx', '3xx', '4xx', '5xx'];

export interface HttpMetrics {
  /** @param route - The route's pattern, never the path: paths have ids in them. */
  observe(route: string, method: string, status: number, seconds: number): void;
  inFlight: Gauge;
}

export function createHttpMetrics(
  registry: Registry,
  routes: readonly { route: string; method: string }[] = [],
): HttpMetrics {
  const labelNames = ['route', 'method', 'status_class'] as const;
  const requests = new Counter({
    name: 'longshore_http_requests_total',
    help: 'Answered requests',
    labelNames,
    registers: [registry],
  });
  const durations = new Histogram({
    name: 'longshore_http_request_duration_seconds',
    help: 'Time from the request to the end of its answer',
    labelNames: ['route', 'method'],
    buckets: REQUEST_BUCKETS,
    registers: [registry],
  });
  const inFlight = new Gauge({
    name: 'longshore_http_requests_in_flight',
    help: 'Requests under way',
    registers: [registry],
  });
  for (const { route, method } of routes) {
    durations.zero({ route, method });
    for (const status_class of STATUS_CLASSES) requests.inc({ route, method, status_class }, 0);
  }
  return {
    inFlight,
    observe(route, method, status, seconds) {
      const status_class = `${Math.trunc(status / 100)}xx`;
      requests.inc({ route, method, status_class });
      durations.observe({ route, method }, seconds);
    },
  };
}

/** The phases of a job, each named by the moment that ends it. */
export const JOB_PHASES = ['admitted', 'queued', 'started', 'finished'] as const;

/** Moments of a job, milliseconds since the epoch; a job of the core has this shape. */
export interface JobMoments {
  type: string;
  acceptedAtMs: number;
  admittedAtMs: number | null;
  queuedAtMs: number | null;
  startedAtMs: number | null;
  finishedAtMs: number | null;
}

export interface JobMetrics {
  /** Counts a job that ended, with the time that each phase took. A phase that was skipped is counted to the next. */
  observeFinished(job: JobMoments, status: string): void;
}

export function createJobMetrics(registry: Registry, types: readonly string[]): JobMetrics {
  const phases = new Histogram({
    name: 'longshore_job_phase_duration_seconds',
    help: 'Time between two moments of a job: accepted, admitted, queued, started, finished',
    labelNames: ['type', 'phase'],
    buckets: PHASE_BUCKETS,
    registers: [registry],
  });
  const finished = new Counter({
    name: 'longshore_jobs_finished_total',
    help: 'Jobs that ended at a worker',
    labelNames: ['type', 'status'],
    registers: [registry],
  });
  for (const type of types) {
    for (const phase of JOB_PHASES) phases.zero({ type, phase });
    for (const status of ['SUCCESS', 'ERROR', 'CANCELLED']) finished.inc({ type, status }, 0);
  }
  return {
    observeFinished(job, status) {
      finished.inc({ type: job.type, status });
      let since = job.acceptedAtMs;
      for (const phase of JOB_PHASES) {
        const at = job[`${phase}AtMs`];
        if (at === null) continue;
        phases.observe({ type: job.type, phase }, Math.max(0, at - since) / 1_000);
        since = at;
      }
    },
  };
}

/** What is to be done, by type and state; from the ledger, so one process tells it. */
export function createQueueMetrics(registry: Registry) {
  return {
    depth: new Gauge({
      name: 'longshore_queue_depth',
      help: 'Unfinished jobs of a type: waiting for admission, delayed, admitted, running',
      labelNames: ['namespace', 'type', 'state'],
      registers: [registry],
    }),
  };
}

export function createLedgerMetrics(registry: Registry, statements: readonly string[]) {
  const labelNames = ['statement'] as const;
  const batchSize = new Histogram({
    name: 'longshore_ledger_batch_size',
    help: 'Rows of a shared statement',
    labelNames,
    buckets: BATCH_BUCKETS,
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'longshore_ledger_statement_duration_seconds',
    help: 'Time of a shared statement',
    labelNames,
    buckets: REQUEST_BUCKETS,
    registers: [registry],
  });
  const failures = new Counter({
    name: 'longshore_ledger_failures_total',
    help: 'Failed statements',
    labelNames,
    registers: [registry],
  });
  for (const statement of statements) {
    batchSize.zero({ statement });
    duration.zero({ statement });
    failures.inc({ statement }, 0);
  }
  return { batchSize, duration, failures };
}

export const REFLECTOR_EVENTS = ['list', 'watch', 'gone', 'error'] as const;

/** What keeps the cluster's state in memory: how it restarts, how old its last sign of life is. */
export function createReflectorMetrics(registry: Registry, kinds: readonly string[]) {
  const events = new Counter({
    name: 'longshore_reflector_events_total',
    help: 'Lists, watches and why a watch ended',
    labelNames: ['kind', 'event'],
    registers: [registry],
  });
  const lastEvent = new Gauge({
    name: 'longshore_reflector_last_event_timestamp_seconds',
    help: 'When the API server was last heard of',
    labelNames: ['kind'],
    registers: [registry],
  });
  const objects = new Gauge({
    name: 'longshore_reflector_objects',
    help: 'Objects in the store',
    labelNames: ['kind'],
    registers: [registry],
  });
  for (const kind of kinds) {
    lastEvent.set({ kind }, 0);
    objects.set({ kind }, 0);
    for (const event of REFLECTOR_EVENTS) events.inc({ kind, event }, 0);
  }
  return { events, lastEvent, objects };
}

export const CLAIM_OUTCOMES = ['claimed', 'refused'] as const;
export const COMMIT_OUTCOMES = [
  'succeeded',
  'failed',
  'retrying',
  'cancelled',
  'handed-back',
  'fenced',
] as const;

/** What a worker does to the ledger. `fenced`: the lease was lost, and nothing was written. */
export function createWorkerMetrics(registry: Registry, types: readonly string[]) {
  const claims = new Counter({
    name: 'longshore_worker_claims_total',
    help: 'Answers of the ledger to claims',
    labelNames: ['type', 'outcome'],
    registers: [registry],
  });
  const commits = new Counter({
    name: 'longshore_worker_commits_total',
    help: 'Ends of deliveries',
    labelNames: ['type', 'outcome'],
    registers: [registry],
  });
  const running = new Gauge({
    name: 'longshore_worker_running_jobs',
    help: 'Jobs that run now',
    labelNames: ['type'],
    registers: [registry],
  });
  for (const type of types) {
    running.set({ type }, 0);
    for (const outcome of CLAIM_OUTCOMES) claims.inc({ type, outcome }, 0);
    for (const outcome of COMMIT_OUTCOMES) commits.inc({ type, outcome }, 0);
  }
  return { claims, commits, running };
}

/** Rounds of the background services. */
export function createServiceMetrics(registry: Registry, services: readonly string[]) {
  const rounds = new Counter({
    name: 'longshore_service_rounds_total',
    help: 'Rounds of a background service',
    labelNames: ['service', 'outcome'],
    registers: [registry],
  });
  for (const service of services) for (const outcome of ['ok', 'failed']) rounds.inc({ service, outcome }, 0);
  return { rounds };
}
