import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { ApiLimits, ApiMetrics } from '../../src/api/deps.ts';
import { type ApiOptions, type RunningApi, startApi } from '../../src/api/start-api.ts';
import { systemClock } from '../../src/core/clock.ts';
import { defineJobType, type JobType } from '../../src/core/job-type.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { noTracer } from '../../src/core/tracing.ts';
import { type ApiKeyScope, createApiKey } from '../../src/ledger/api-keys.ts';
import { SHIPPED_TYPES } from '../../src/types/registry.ts';
import type { TestLedger } from './ledger.ts';

export const echoType: JobType = defineJobType({
  name: 'echo',
  description: 'Answers its input',
  input: z.strictObject({ text: z.string(), count: z.int().optional() }),
  result: z.unknown(),
});

export interface TestApi extends RunningApi {
  /** A key of a namespace with these scopes. */
  key(namespace?: string, scopes?: readonly ApiKeyScope[], expiresAtMs?: number | null): Promise<string>;
  /** `fetch` with a key that may submit and read in `default`, or with `token`. */
  call(path: string, init?: CallInit): Promise<Response>;
  /** Submits `{type: 'echo', input: {text}}` and answers the job's id. */
  submit(text?: string): Promise<string>;
}

export interface CallInit extends Omit<RequestInit, 'headers'> {
  json?: unknown;
  token?: string | null;
  headers?: Record<string, string>;
}

export const NO_METRICS: ApiMetrics = {
  observeRequest() {},
  setInFlight() {},
  observeBatch() {},
  countCacheRead() {},
  countRateRead() {},
  observeReadingBatch() {},
  countReadings() {},
  observeSpool() {},
};

const LIMITS: ApiLimits = {
  jsonBytes: 1_048_576,
  imageBytes: 1_048_576,
  bodyTimeoutMs: 2_000,
  requestTimeoutMs: 5_000,
  maxInFlight: 500,
  maxUploads: 8,
  maxStreamsPerKey: 20,
};

/** An API in this process, on the real services of the test run. */
export async function startTestApi(
  ledger: TestLedger,
  overrides: Partial<Omit<ApiOptions, 'limits'>> & { limits?: Partial<ApiLimits> } = {},
): Promise<TestApi> {
  const redisUrl = process.env.LONGSHORE_TEST_REDIS_URL;
  if (redisUrl === undefined)
    throw new Error('LONGSHORE_TEST_REDIS_URL is not set: run "make test-integration"');
  const api = await startApi({
    host: '127.0.0.1',
    port: 0,
    postgresUrl: ledger.url,
    postgresPoolSize: 10,
    postgresReadUrl: '',
    readings: { timeZone: 'UTC', spoolDir: '', spoolLimitBytes: 1_048_576 },
    redisUrl,
    redisPrefix: `t${randomBytes(4).toString('hex')}`,
    auth: 'keys',
    rateLimit: { perSecond: 10_000, burst: 10_000 },
    webhooks: { allowInsecure: false, allowPrivate: false, canSign: true },
    types: [...SHIPPED_TYPES, echoType],
    version: '0.0.0',
    logger: silentLogger,
    metrics: NO_METRICS,
    clock: systemClock,
    tracer: noTracer,
    signal: AbortSignal.timeout(30_000),
    ...overrides,
    limits: { ...LIMITS, ...overrides.limits },
  });
  const key: TestApi['key'] = async (
    namespace = 'default',
    scopes = ['submit', 'read'],
    expiresAtMs = null,
  ) => (await createApiKey(ledger.db, { name: 'test', namespace, scopes, expiresAtMs })).token;
  const defaultToken = await key();
  const call: TestApi['call'] = (path, { json, token = defaultToken, headers = {}, ...init } = {}) =>
    fetch(api.url + path, {
      signal: AbortSignal.timeout(20_000),
      ...(json === undefined ? {} : { method: 'POST', body: JSON.stringify(json) }),
      ...init,
      headers: {
        ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
        ...(json === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
    });
  return {
    ...api,
    key,
    call,
    async submit(text = 'hello') {
      const response = await call('/v1/jobs', { json: { type: 'echo', input: { text } } });
      if (response.status !== 201)
        throw new Error(`Submitting answered ${response.status}: ${await response.text()}`);
      return ((await response.json()) as { id: string }).id;
    },
  };
}
