import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { findKubeAssets } from '../../hack/kube/local-apiserver.ts';
import { type Stack, startStack } from '../../hack/stack/stack.ts';
import { startFakeEtherscan } from '../support/fake-etherscan.ts';
import { type ReceivedSpan, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { waitFor } from '../support/wait-for.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Longshore as processes that export their traces to the receiver. */
async function startTraced(
  kubernetes: 'off' | 'apiserver',
): Promise<{ stack: Stack; spans: ReceivedSpan[] }> {
  const receiver = await startOtlpReceiver();
  const etherscan = await startFakeEtherscan({ unlimited: true });
  const dataDir = mkdtempSync(join(tmpdir(), 'longshore-trace-'));
  chmodSync(dataDir, 0o755);
  closers.push(
    () => rmSync(dataDir, { recursive: true, force: true }),
    () => receiver.close(),
    () => etherscan.close(),
  );
  const stack = await startStack({
    dataDir,
    kubernetes,
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '100',
      LONGSHORE_ETHERSCAN_URL: etherscan.url,
      LONGSHORE_ETHERSCAN_API_KEY: 'a-key-that-must-stay-secret',
    },
  });
  closers.push(() => stack.stop());
  return { stack, spans: receiver.spans };
}

/** The spans of a trace, once it has everything from the enqueuing to the upstream call. */
function wholeTrace(
  spans: ReceivedSpan[],
  traceId: string,
  names: readonly string[],
): Promise<ReceivedSpan[]> {
  return waitFor(
    () => spans.filter((span) => span.traceId === traceId),
    (found) => names.every((name) => found.some((span) => span.name === name)),
    { timeoutMs: 30_000, describe: `the spans ${names.join(', ')} of trace ${traceId}` },
  );
}

const WAY = ['enqueue contract-source', 'process contract-source', 'GET 127.0.0.1'];

it('a REST job is one trace, from the request to the upstream call', { timeout: 120_000 }, async () => {
  const { stack, spans } = await startTraced('off');
  const answer = await fetch(`${stack.apiUrl}/v1/contracts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ address: `0x${'a'.repeat(40)}` }),
  });
  expect(answer.status).toBe(201);
  const request = await waitFor(
    () => spans.find((span) => span.name === 'HTTP POST'),
    (span) => span !== undefined,
    { timeoutMs: 30_000, describe: 'the span of the request' },
  );
  const trace = await wholeTrace(spans, request?.traceId ?? '', WAY);
  const ids = new Set(trace.map((span) => span.spanId));
  for (const span of trace.filter((one) => one.spanId !== request?.spanId)) {
    expect(ids, `${span.name} hangs on a span of the trace`).toContain(span.parentSpanId);
  }
  expect(JSON.stringify(spans)).not.toContain('a-key-that-must-stay-secret');
});

it('an applied QueueJob continues the trace of its annotation', { timeout: 180_000 }, async () => {
  const { stack, spans } = await startTraced('apiserver');
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const manifest = {
    apiVersion: 'longshore.dev/v1alpha1',
    kind: 'QueueJob',
    metadata: {
      name: 'traced',
      namespace: 'default',
      annotations: { 'longshore.dev/traceparent': `00-${traceId}-b7ad6b7169203331-01` },
    },
    spec: { type: 'contract-source', input: { address: `0x${'b'.repeat(40)}` } },
  };
  const kubectl = promisify(execFile)(join(await findKubeAssets(), 'kubectl'), [
    ...['--kubeconfig', String(stack.kubeconfigPath)],
    ...['apply', '-f', '-'],
  ]);
  kubectl.child.stdin?.end(JSON.stringify(manifest));
  await kubectl;
  const trace = await wholeTrace(spans, traceId, WAY);
  expect(trace.length).toBeGreaterThanOrEqual(WAY.length);
});
