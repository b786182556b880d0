import { Counter } from 'prom-client';
import type { ApiTelemetry } from '../api/main.ts';
import type { Config } from '../config/config.ts';
import { createHttpMetrics, createLedgerMetrics } from '../telemetry/metrics.ts';
import { startTelemetry } from '../telemetry/process-telemetry.ts';

/** The API's hooks, bound to the process's registry. */
export async function createApiTelemetry(config: Config): Promise<ApiTelemetry> {
  const telemetry = await startTelemetry('api', config.log.level);
  const http = createHttpMetrics(telemetry.registry);
  const ledger = createLedgerMetrics(telemetry.registry, ['accept']);
  const cacheReads = new Counter({
    name: 'longshore_status_cache_reads_total',
    help: 'Reads of the status cache',
    labelNames: ['outcome'],
    registers: [telemetry.registry],
  });
  for (const outcome of ['hit', 'miss', 'skipped']) cacheReads.inc({ outcome }, 0);
  const rateReads = new Counter({
    name: 'longshore_rate_reads_total',
    help: 'Exchange rates that were asked for',
    labelNames: ['outcome'],
    registers: [telemetry.registry],
  });
  for (const outcome of ['fresh', 'stale', 'unknown']) rateReads.inc({ outcome }, 0);
  return {
    ...telemetry,
    metrics: {
      observeRequest: (method, route, status, seconds) => http.observe(route, method, status, seconds),
      setInFlight: (requests) => http.inFlight.set(requests),
      observeBatch({ jobs, seconds, failed }) {
        ledger.batchSize.observe({ statement: 'accept' }, jobs);
        ledger.duration.observe({ statement: 'accept' }, seconds);
        if (failed) ledger.failures.inc({ statement: 'accept' });
      },
      countCacheRead: (outcome) => cacheReads.inc({ outcome }),
      countRateRead: (outcome) => rateReads.inc({ outcome }),
    },
  };
}
