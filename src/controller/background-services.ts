import type { Clock } from '../core/clock.ts';
import type { TypeLookup } from '../core/known-type.ts';
import type { Logger } from '../core/logger.ts';
import type { PoolLoad } from '../core/pool-load.ts';
import { auditLedger, type Finding } from '../ledger/audit.ts';
import type { Database } from '../ledger/database.ts';
import { countDepths, type Depth } from '../ledger/depths.ts';
import { readPoolLoads } from '../ledger/pool-loads.ts';
import { countRateStates, readBudgets } from '../ledger/rates.ts';
import { countUnjudged } from '../ledger/reading-ranges.ts';
import type { Retention } from '../ledger/retention.ts';
import { PeriodicService } from '../lifecycle/service.ts';
import { runBulkOperations } from './bulk-operations.ts';
import { RateSchedules } from './rate-schedules.ts';
import { cutReadingRanges, keepReadings } from './reading-ranges.ts';
import { keepRetention } from './retention.ts';
import { fireSchedules } from './schedules.ts';
import { WebhookDelivery, type WebhookSettings } from './webhooks.ts';

export interface BackgroundServicesOptions {
  db: Database;
  logger: Logger;
  clock: Clock;
  /** The job types that schedules may make jobs of. */
  types: TypeLookup;
  retention: Retention;
  webhooks: WebhookSettings;
  /** Defaults to 30. */
  leaseSeconds?: number;
  /** Defaults to 1,000. */
  windowSize?: number;
  /** Called after each round of a service, for metrics. */
  onRound?(service: string, round: { failed: boolean; durationMs: number }): void;
  /** Called with what each audit found, for metrics. */
  onAudit?(findings: readonly Finding[]): void;
  /** Called with the unfinished jobs by type and state, for metrics. */
  onDepth?(depths: readonly Depth[]): void;
  /** Called with what every pool should be, for metrics. */
  onPoolLoads?(loads: readonly PoolLoad[]): void;
  /** Called with the state of each provider's budget, for metrics. */
  onBudgets?(budgets: Awaited<ReturnType<typeof readBudgets>>): void;
  /** Called with the tracked pairs by provider and state, for metrics. */
  onRates?(states: Awaited<ReturnType<typeof countRateStates>>): void;
  /** Called with what waits to be judged, for metrics. */
  onUnjudged?(unjudged: { readings: number; oldestSeconds: number }): void;
}

/** The minute's audit looks at jobs accepted this lately; `longshore audit` looks at all. */
const AUDIT_REACH_MS = 5 * 60_000;

/** What the leader does on the ledger beside admission: for the controller's `services`. */
export function createBackgroundServices(options: BackgroundServicesOptions): PeriodicService[] {
  const { db, logger, clock, types, onRound } = options;
  const rateSchedules = new RateSchedules({ db, clock, logger });
  const webhooks = new WebhookDelivery({ db, clock, logger, settings: options.webhooks });
  const service = (
    name: string,
    intervalMs: number,
    runOnce: (signal: AbortSignal) => Promise<object>,
  ): PeriodicService =>
    new PeriodicService({
      name,
      intervalMs,
      runOnce,
      logger,
      onRound: (round) => onRound?.(name, round),
    });
  return [
    service('webhooks', 1_000, (signal) => webhooks.runOnce(signal)),
    service('schedules', 1_000, (signal) => fireSchedules({ db, clock, logger, types }, signal)),
    service('rate-schedules', 5_000, () => rateSchedules.runOnce()),
    service('bulk-operations', 1_000, (signal) => runBulkOperations(db, signal)),
    service('retention', 10 * 60_000, (signal) =>
      keepRetention({ db, retention: options.retention }, signal),
    ),
    service('depth', 5_000, async () => {
      const depths = await countDepths(db);
      options.onDepth?.(depths);
      return { types: depths.length };
    }),
    service('pool-loads', 5_000, async () => {
      const loads = await readPoolLoads(db);
      options.onPoolLoads?.(loads);
      return { pools: loads.length };
    }),
    service('providers', 5_000, async () => {
      const [budgets, rates] = await Promise.all([readBudgets(db), countRateStates(db)]);
      options.onBudgets?.(budgets);
      options.onRates?.(rates);
      return { budgets: budgets.length };
    }),
    service('reading-ranges', 250, (signal) => cutReadingRanges(db, signal)),
    service('readings', 10_000, async (signal) => {
      options.onUnjudged?.(await countUnjudged(db));
      return keepReadings(db, signal);
    }),
    service('audit', 60_000, () => audit(options)),
  ];
}

async function audit(options: BackgroundServicesOptions): Promise<{ checked: number; broken: number }> {
  const findings = await auditLedger(options.db, {
    sinceMs: options.clock.now() - AUDIT_REACH_MS,
    ...(options.leaseSeconds === undefined ? {} : { leaseSeconds: options.leaseSeconds }),
    ...(options.windowSize === undefined ? {} : { windowSize: options.windowSize }),
  });
  options.onAudit?.(findings);
  for (const { invariant, what, broken, examples } of findings.filter((f) => f.verdict === 'broken'))
    options.logger.error(
      { invariant, rule: what, broken, examples },
      'Found an invariant of the ledger broken',
    );
  return {
    checked: findings.reduce((sum, finding) => sum + finding.checked, 0),
    broken: findings.reduce((sum, finding) => sum + finding.broken, 0),
  };
}
