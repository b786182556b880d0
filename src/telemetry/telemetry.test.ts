import { expect, test } from 'vitest';
import { startOtlpReceiver } from '../../test/support/otlp-receiver.ts';
import { createLogger } from './logger.ts';
import {
  createHttpMetrics,
  createJobMetrics,
  createRegistry,
  createWorkerMetrics,
  exposition,
} from './metrics.ts';
import { activeTraceparent, startTracing, withoutSpan, withSpan } from './tracing.ts';

function capture() {
  const lines: Record<string, unknown>[] = [];
  return { lines, destination: { write: (line: string) => void lines.push(JSON.parse(line)) } };
}

test('log lines are JSON with level, time, message and fields; secrets are blanked; a level is a floor', () => {
  const { lines, destination } = capture();
  const logger = createLogger({ name: 'api', level: 'info', destination }).child({ job_id: 'j1' });
  logger.debug({}, 'Not shown');
  logger.warn(
    { request: { authorization: 'Bearer hunter2', path: '/' }, password: 'hunter2' },
    'Request was refused',
  );
  logger.error({ err: new Error('broken') }, 'Job failed');
  expect(lines).toMatchObject([
    { level: 'warn', name: 'api', job_id: 'j1', msg: 'Request was refused', request: { path: '/' } },
    { level: 'error', err: { type: 'Error', message: 'broken' } },
  ]);
  expect(JSON.stringify(lines)).not.toContain('hunter2');
  expect(lines[0]).not.toHaveProperty('trace_id');
});

test('metrics start at zero and count by class and phase', async () => {
  const registry = createRegistry('api');
  const http = createHttpMetrics(registry, [{ route: '/v1/jobs', method: 'POST' }]);
  const jobs = createJobMetrics(registry, ['image-convert']);
  createWorkerMetrics(registry, ['image-convert']);
  http.observe('/v1/jobs', 'POST', 201, 0.004);
  const moments = {
    acceptedAtMs: 0,
    admittedAtMs: 200,
    queuedAtMs: null,
    startedAtMs: 1_200,
    finishedAtMs: 3_200,
  };
  jobs.observeFinished({ type: 'image-convert', ...moments }, 'SUCCESS');
  const { contentType, body } = await exposition(registry)();
  expect(contentType).toMatch(/^text\/plain/);
  for (const line of [
    'longshore_http_requests_total{route="/v1/jobs",method="POST",status_class="2xx",process="api"} 1',
    'longshore_http_requests_total{route="/v1/jobs",method="POST",status_class="5xx",process="api"} 0',
    'longshore_http_requests_in_flight{process="api"} 0',
    'longshore_job_phase_duration_seconds_sum{process="api",type="image-convert",phase="admitted"} 0.2',
    'longshore_job_phase_duration_seconds_count{process="api",type="image-convert",phase="queued"} 0',
    'longshore_job_phase_duration_seconds_sum{process="api",type="image-convert",phase="started"} 1',
    'longshore_job_phase_duration_seconds_sum{process="api",type="image-convert",phase="finished"} 2',
    'longshore_worker_commits_total{type="image-convert",outcome="fenced",process="api"} 0',
  ]) {
    expect(body.split('\n')).toContain(line);
  }
  expect(body).toContain('nodejs_eventloop_lag_p99_seconds');
});

test('tracing is off without an endpoint, and work runs all the same', async () => {
  const tracing = await startTracing({ serviceName: 'test', env: {} });
  expect(tracing.enabled).toBe(false);
  expect(await withSpan('work', {}, async () => activeTraceparent())).toBeNull();
  await tracing.shutdown();
});

test('spans are exported as one trace, log lines carry its ids, and a remote parent continues it', async () => {
  const receiver = await startOtlpReceiver();
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = receiver.url;
  process.env.OTEL_EXPORTER_OTLP_PROTOCOL = 'http/json';
  const { lines, destination } = capture();
  const logger = createLogger({ name: 'api', level: 'info', destination });
  const tracing = await startTracing({ serviceName: 'test' });
  expect(tracing.enabled).toBe(true);
  const traceparent = await withSpan('request', { attributes: { job_id: 'j1' } }, async () => {
    logger.info({}, 'Job was accepted');
    expect(withoutSpan(() => activeTraceparent())).toBeNull();
    return activeTraceparent();
  });
  const failing = withSpan('process', { parentTraceparent: traceparent }, async () =>
    Promise.reject(new Error('broken')),
  );
  await expect(failing).rejects.toThrow('broken');
  await tracing.shutdown();
  receiver.close();
  const [request, process_] = receiver.spans;
  expect(receiver.spans.map((span) => span.name)).toEqual(['request', 'process']);
  expect(process_).toMatchObject({
    traceId: request?.traceId,
    parentSpanId: request?.spanId,
    status: { code: 2 },
  });
  expect(traceparent).toBe(`00-${request?.traceId}-${request?.spanId}-01`);
  expect(lines).toMatchObject([
    { msg: 'Job was accepted', trace_id: request?.traceId, span_id: request?.spanId },
  ]);
  expect([...receiver.paths]).toEqual(['/v1/traces']);
});
