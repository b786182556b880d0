import type { Logger } from '../core/logger.ts';
import { noTracer, type Tracer } from '../core/tracing.ts';
import { createLogger, type LoggerOptions } from './logger.ts';
import { createRegistry, exposition } from './metrics.ts';
import { activeTraceparent, SpanKind, startTracing, withSpan } from './tracing.ts';

/** What a process is observed with. */
export interface ProcessTelemetry {
  logger: Logger;
  registry: ReturnType<typeof createRegistry>;
  tracer: Tracer;
  /** All metrics of the process as text, with their media type. */
  renderMetrics(): Promise<{ contentType: string; body: string }>;
  /** Sends what is left of the traces. */
  stop(): Promise<void>;
}

const KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

/** @param name - Of the process, such as `api`: in every log line, metric and span. */
export async function startTelemetry(name: string, level: LoggerOptions['level']): Promise<ProcessTelemetry> {
  const tracing = await startTracing({ serviceName: `longshore-${name}` });
  const registry = createRegistry(name);
  return {
    logger: createLogger({ name, level }),
    registry,
    tracer: tracing.enabled ? openTelemetryTracer : noTracer,
    renderMetrics: exposition(registry),
    stop: () => tracing.shutdown(),
  };
}

const openTelemetryTracer: Tracer = {
  span: (name, { parent, kind = 'internal', attributes = {} }, work) =>
    withSpan(name, { parentTraceparent: parent ?? null, kind: KINDS[kind], attributes }, work),
  traceparent: activeTraceparent,
};
