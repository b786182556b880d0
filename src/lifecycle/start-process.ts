import type { Logger } from '../core/logger.ts';
import { HealthServer, type HealthServerOptions } from './health-server.ts';
import { Shutdown } from './shutdown.ts';

export interface ProcessOptions {
  /** As `/readyz` names the process until it has started. */
  name: string;
  health: Pick<HealthServerOptions, 'host' | 'port'>;
  telemetry: {
    logger: Logger;
    renderMetrics: HealthServerOptions['metrics'];
    /** Sends what is left of the traces. */
    stop(): Promise<void>;
  };
}

/**
 * What every process begins with: from here on it can be told to stop, and answers for its health. It is ready once the
 * check `start` passes.
 */
export async function startProcess({
  name,
  health: address,
  telemetry,
}: ProcessOptions): Promise<{ shutdown: Shutdown; health: HealthServer }> {
  const { logger } = telemetry;
  const shutdown = new Shutdown({ logger });
  shutdown.install();
  shutdown.add('telemetry', () => telemetry.stop());
  const health = new HealthServer({ ...address, logger, metrics: () => telemetry.renderMetrics() });
  await health.start();
  shutdown.add('health', () => health.stop());
  health.addCheck('start', () => Promise.reject(new Error(`The ${name} is starting`)));
  return { shutdown, health };
}
