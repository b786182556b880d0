import { isSpanContextValid, trace } from '@opentelemetry/api';
import { type DestinationStream, pino } from 'pino';
import type { Logger } from '../core/logger.ts';

export interface LoggerOptions {
  /** Name of the process, such as `api`. */
  name: string;
  level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** Defaults to the standard output. */
  destination?: DestinationStream;
}

const SECRET_FIELDS = [
  'password',
  'secret',
  'poolSecret',
  'apiKey',
  'token',
  'authorization',
  'cookie',
  'connectionString',
];

/** JSON lines with `trace_id` and `span_id` of the active span; fields named like secrets are blanked, two levels deep. */
export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      name: options.name,
      level: options.level,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { error: pino.stdSerializers.err },
      redact: {
        paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
        censor: '[secret]',
      },
      mixin: activeSpanFields,
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
}

function activeSpanFields(): object {
  const context = trace.getActiveSpan()?.spanContext();
  if (context === undefined || !isSpanContextValid(context)) return {};
  return { trace_id: context.traceId, span_id: context.spanId };
}
