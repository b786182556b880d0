import { Counter, Gauge, type Registry } from 'prom-client';
import type { ApiMetrics } from '../api/deps.ts';
import type { ApiTelemetry } from '../api/main.ts';
import type { Config } from '../config/config.ts';
import { createHttpMetrics, createLedgerMetrics } from '../telemetry/metrics.ts';
import { startTelemetry } from '../telemetry/process-telemetry.ts';

/** The API's hooks, bound to the process's registry. */
export async function createApiTelemetry(config: Config): Promise<ApiTelemetry> {
  const telemetry = await startTelemetry('api', config.log.level);
  const http = createHttpMetrics(telemetry.registry);
  const ledger = createLedgerMetrics(telemetry.registry, ['accept', 'store-readings']);
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
  const observeStatement = (statement: string, rows: number, seconds: number, failed: boolean) => {
    ledger.batchSize.observe({ statement }, rows);
    ledger.duration.observe({ statement }, seconds);
    if (failed) ledger.failures.inc({ statement });
  };
  return {
    ...telemetry,
    metrics: {
      ...createReadingMetrics(telemetry.registry),
      observeReadingBatch: ({ readings, seconds, failed }) =>
        observeStatement('store-readings', readings, seconds, failed),
      observeRequest: (method, route, status, seconds) => http.observe(route, method, status, seconds),
      setInFlight: (requests) => http.inFlight.set(requests),
      observeBatch: ({ jobs, seconds, failed }) => observeStatement('accept', jobs, seconds, failed),
      countCacheRead: (outcome) => cacheReads.inc({ outcome }),
      countRateRead: (outcome) => rateReads.inc({ outcome }),
    },
  };
}

function createReadingMetrics(registry: Registry): Pick<ApiMetrics, 'countReadings' | 'observeSpool'> {
  const readings = new Counter({
    name: 'longshore_readings_total',
    help: 'Meter readings that were sent, by what became of them at once',
    labelNames: ['outcome'],
    registers: [registry],
  });
  for (const outcome of ['stored', 'existing', 'refused', 'conflict', 'spooled', 'failed'])
    readings.inc({ outcome }, 0);
  const spoolBytes = new Gauge({
    name: 'longshore_reading_spool_bytes',
    help: 'Size of the spool on the disk',
    registers: [registry],
  });
  const drained = new Counter({
    name: 'longshore_reading_spool_drained_total',
    help: 'Readings that went from the spool into the ledger',
    registers: [registry],
  });
  return {
    countReadings: (outcome, count) => readings.inc({ outcome }, count),
    observeSpool(change) {
      spoolBytes.set(change.bytes);
      drained.inc(change.drained);
    },
  };
}
