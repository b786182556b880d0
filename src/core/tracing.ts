/** What the parts trace with; `telemetry` implements it on OpenTelemetry, and without an exporter it costs nothing. */
export interface Tracer {
  /** Runs `work` in a span; a rejection marks the span as failed. */
  span<T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T>;
  /** The W3C `traceparent` of the active span, or null outside of one. */
  traceparent(): string | null;
}

export interface SpanOptions {
  /** A W3C `traceparent` to continue; the active span when absent. */
  parent?: string | null;
  kind?: 'internal' | 'server' | 'client' | 'producer' | 'consumer';
  attributes?: Record<string, string | number | boolean>;
}

export const noTracer: Tracer = { span: (_name, _options, work) => work(), traceparent: () => null };
