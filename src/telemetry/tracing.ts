import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
export interface Tracing {
  /** Whether spans are exported at all. */
  enabled: boolean;
  /** Sends what is left, for 5 s at most. Call it after all work has ended, or its last spans are lost. */
  shutdown(): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Exports traces by OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` (or its variant for traces) is set; does nothing and loads
 * nothing otherwise, because the SDK costs memory and start time. Logs go to the standard output and metrics are
 * scraped, so neither is exported. Spans are our own: see docs/adr/0006-own-spans.md.
 */
export async function startTracing(options: { serviceName: string; env?: Environment }): Promise<Tracing> {
  const env = options.env ?? process.env;
  if (!isExportingOn(env)) return { enabled: false, shutdown: async () => {} };
  process.env.OTEL_LOGS_EXPORTER = 'none';
  process.env.OTEL_METRICS_EXPORTER = 'none';
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const sdk = new NodeSDK({ serviceName: env.OTEL_SERVICE_NAME ?? options.serviceName });
  sdk.start();
  return { enabled: true, shutdown: () => settleWithin(sdk.shutdown(), 5_000) };
}

function isExportingOn(env: Environment): boolean {
  const endpoint = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? env.OTEL_EXPORTER_OTLP_ENDPOINT ?? '';
  return endpoint !== '' && env.OTEL_SDK_DISABLED !== 'true';
}

/** A receiver that is away must neither hold nor fail the shutdown. */
async function settleWithin(work: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work.catch(() => {}), late]);
  clearTimeout(timer);
}

export interface SpanOptions {
  attributes?: Attributes;
  /** Makes the span a child of this one instead of the active one. */
  parentTraceparent?: string | null;
  /** Defaults to INTERNAL. */
  kind?: SpanKind;
}

export { SpanKind };

/** Runs `work` in a span of its own, which ends with it; a rejection is recorded and passed on. */
export function withSpan<Answer>(
  name: string,
  options: SpanOptions,
  work: (span: Span) => Promise<Answer>,
): Promise<Answer> {
  const { attributes = {}, parentTraceparent, kind = SpanKind.INTERNAL } = options;
  const parent = parentTraceparent ? contextOf(parentTraceparent) : context.active();
  return trace.getTracer('longshore').startActiveSpan(name, { attributes, kind }, parent, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      span.recordException(error instanceof Error ? error : String(error));
      span.setStatus({
        code: SpanStatusCode.ERROR,
        message: error instanceof Error ? error.message : String(error),
      });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Runs `work` outside every span: what it starts belongs to no trace. */
export function withoutSpan<Answer>(work: () => Answer): Answer {
  return context.with(ROOT_CONTEXT, work);
}

/** W3C `traceparent` of the active span; null when there is none. */
export function activeTraceparent(): string | null {
  const active = trace.getActiveSpan()?.spanContext();
  if (active === undefined || !isSpanContextValid(active)) return null;
  return `00-${active.traceId}-${active.spanId}-${active.traceFlags.toString(16).padStart(2, '0')}`;
}

function contextOf(traceparent: string): Context {
  return propagation.extract(ROOT_CONTEXT, { traceparent });
}
