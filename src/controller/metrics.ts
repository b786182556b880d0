import { Counter, Gauge, type Registry } from 'prom-client';
import { JOB_SCHEDULE } from '../core/kinds/job-schedule.ts';
import { QUEUE_JOB } from '../core/kinds/queue-job.ts';
import { WORKER_POOL } from '../core/kinds/worker-pool.ts';
import type { PoolLoad } from '../core/pool-load.ts';
import type { KubeRequestReport } from '../kube/kube-transport.ts';
import type { ReflectorEvent } from '../kube/reflector.ts';
import type { Finding } from '../ledger/audit.ts';
import type { Depth } from '../ledger/depths.ts';
import { createQueueMetrics, createReflectorMetrics, createServiceMetrics } from '../telemetry/metrics.ts';

export interface ControllerMetrics {
  onRound(service: string, round: { failed: boolean }): void;
  onKubeRequest(report: KubeRequestReport): void;
  onReflectorEvent(kind: string, event: ReflectorEvent): void;
  setObjects(sizes: Readonly<Record<string, number>>): void;
  onAudit(findings: readonly Finding[]): void;
  onDepth(depths: readonly Depth[]): void;
  onPoolLoads(loads: readonly PoolLoad[]): void;
  onBudgets(budgets: readonly BudgetState[]): void;
  onRates(states: readonly { provider: string; state: string; pairs: number }[]): void;
  onUnjudged(unjudged: { readings: number; oldestSeconds: number }): void;
  onScalerRequest(method: string, code: string): void;
  onScalerPush(active: boolean): void;
}

interface BudgetState {
  name: string;
  bannedSeconds: number;
  usedToday: number;
  usedThisMonth: number;
}

const SERVICES = [
  ...['admission', 'recovery', 'resync', 'epoch'],
  ...['webhooks', 'schedules', 'bulk-operations', 'retention', 'depth', 'pool-loads', 'audit'],
  ...['rate-schedules', 'providers', 'reading-ranges', 'readings'],
  ...['pool-figures', 'pool-resync', 'default-pools'],
];
const REFLECTOR_EVENTS = { connected: 'watch', listed: 'list', gone: 'gone', failed: 'error' } as const;
/** `…/queuejobs/<name>/status` without its names. */
const RESOURCE = /^\/apis?\/(?:[^/]+\/)?v[^/]+\/(?:namespaces\/[^/]+\/)?([a-z]+)(?:\/[^/]+)?(?:\/([a-z]+))?$/;

/** What a controller shows of itself; its writes to the API server above all, which are the scarcest thing it uses. */
export function createControllerMetrics(registry: Registry): ControllerMetrics {
  const { rounds } = createServiceMetrics(registry, SERVICES);
  const reflectors = createReflectorMetrics(registry, [QUEUE_JOB.kind, JOB_SCHEDULE.kind, WORKER_POOL.kind]);
  const requests = new Counter({
    name: 'longshore_kube_requests_total',
    help: 'Calls to the API server but watches; status 0 is no answer',
    labelNames: ['method', 'resource', 'status'],
    registers: [registry],
  });
  const violations = new Gauge({
    name: 'longshore_audit_violations',
    help: 'Rows that broke an invariant of the ledger in the last audit; anything above 0 wants a person',
    labelNames: ['invariant'],
    registers: [registry],
  });
  const { depth } = createQueueMetrics(registry);
  const unjudged = new Gauge({
    name: 'longshore_readings_unjudged',
    help: 'Meter readings that are stored and not judged yet',
    registers: [registry],
  });
  const oldestUnjudged = new Gauge({
    name: 'longshore_readings_unjudged_oldest_seconds',
    help: 'How long the oldest of them has waited',
    registers: [registry],
  });
  return {
    ...createScalerMetrics(registry),
    ...createProviderMetrics(registry),
    onAudit(findings) {
      const broken = Map.groupBy(findings, (finding) => finding.invariant);
      for (const [invariant, ofOne] of broken) {
        violations.set(
          { invariant },
          ofOne.reduce((sum, finding) => sum + finding.broken, 0),
        );
      }
    },
    onDepth(depths) {
      // What has emptied is not counted any more, and must not stay at its last value.
      depth.reset();
      for (const { namespace, type, state, jobs } of depths) depth.set({ namespace, type, state }, jobs);
    },
    onUnjudged({ readings, oldestSeconds }) {
      unjudged.set(readings);
      oldestUnjudged.set(oldestSeconds);
    },
    onRound: (service, { failed }) => rounds.inc({ service, outcome: failed ? 'failed' : 'ok' }),
    onKubeRequest({ method, path, status }) {
      const [, plural = 'other', subresource] = RESOURCE.exec(path) ?? [];
      const resource = subresource === undefined ? plural : `${plural}/${subresource}`;
      requests.inc({ method, resource, status });
    },
    onReflectorEvent(kind, event) {
      reflectors.lastEvent.set({ kind }, Date.now() / 1_000);
      if (event.type !== 'disconnected') reflectors.events.inc({ kind, event: REFLECTOR_EVENTS[event.type] });
    },
    setObjects(sizes) {
      for (const [kind, count] of Object.entries(sizes)) reflectors.objects.set({ kind }, count);
    },
  };
}

/** Pools that are shown one by one, those with the most work first; the rest would only be noise to whoever reads them. */
const MOST_POOLS = 200;

/** What the scaler says and to whom; the loads are those that it says, from the ledger, so the leader tells them. */
function createScalerMetrics(
  registry: Registry,
): Pick<ControllerMetrics, 'onPoolLoads' | 'onScalerRequest' | 'onScalerPush'> {
  const requests = new Counter({
    name: 'longshore_scaler_requests_total',
    help: 'Requests of KEDA that were answered, and streams that were ended',
    labelNames: ['method', 'code'],
    registers: [registry],
  });
  const pushes = new Counter({
    name: 'longshore_scaler_pushes_total',
    help: 'States that were sent on streams; true is a call for pods',
    labelNames: ['active'],
    registers: [registry],
  });
  for (const active of ['true', 'false']) pushes.inc({ active }, 0);
  const load = new Gauge({
    name: 'longshore_pool_load',
    help: 'Jobs that a pool should be scaled for: those that run and those that could',
    labelNames: ['namespace', 'pool'],
    registers: [registry],
  });
  return {
    onScalerRequest: (method, code) => requests.inc({ method, code }),
    onScalerPush: (active) => pushes.inc({ active: String(active) }),
    onPoolLoads(loads) {
      load.reset();
      const shown = loads.toSorted((a, b) => b.load - a.load).slice(0, MOST_POOLS);
      for (const { namespace, name, load: jobs } of shown) load.set({ namespace, pool: name }, jobs);
    },
  };
}

/** How providers are used, and the exchange rates of each; from the ledger, so the leader tells it. */
function createProviderMetrics(registry: Registry): Pick<ControllerMetrics, 'onBudgets' | 'onRates'> {
  const paused = new Gauge({
    name: 'longshore_budget_paused_seconds',
    help: 'How long no call goes to a provider, because it asked for a pause or has banned us; 0: calls go',
    labelNames: ['budget'],
    registers: [registry],
  });
  const used = new Gauge({
    name: 'longshore_budget_used_calls',
    help: 'Calls to a provider in this day and this month (UTC), by their weight',
    labelNames: ['budget', 'period'],
    registers: [registry],
  });
  const pairs = new Gauge({
    name: 'longshore_rates_pairs',
    help: 'Tracked pairs of a provider: fresh, stale, failing, or waiting for their first rate',
    labelNames: ['provider', 'state'],
    registers: [registry],
  });
  return {
    onBudgets(budgets) {
      for (const { name, bannedSeconds, usedToday, usedThisMonth } of budgets) {
        paused.set({ budget: name }, bannedSeconds);
        used.set({ budget: name, period: 'day' }, usedToday);
        used.set({ budget: name, period: 'month' }, usedThisMonth);
      }
    },
    onRates(states) {
      pairs.reset();
      for (const { provider } of states)
        for (const state of ['fresh', 'stale', 'failing', 'waiting']) pairs.set({ provider, state }, 0);
      for (const { provider, state, pairs: count } of states) pairs.set({ provider, state }, count);
    },
  };
}
