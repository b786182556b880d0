import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

/** A TCP proxy that can fall silent or go away. */
class Cable {
  readonly #sockets = new Set<Socket>();
  readonly #target: URL;
  #server: Server | undefined;
  port = 0;

  constructor(target: string) {
    this.#target = new URL(target);
  }

  async plug(): Promise<void> {
    const server = createServer((client) => {
      const upstream = connect(Number(this.#target.port), this.#target.hostname);
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket
          .on('error', () => {})
          .on('close', () => {
            client.destroy();
            upstream.destroy();
          });
      }
      client.pipe(upstream).pipe(client);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as { port: number }).port;
  }

  /** Bytes go nowhere any more, but nothing is closed. */
  hang(): void {
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  async unplug(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server?.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
    await closed;
  }

  get url(): string {
    const url = new URL(this.#target);
    url.port = String(this.port);
    return url.toString();
  }
}

let ledger: TestLedger;
beforeAll(async () => {
  ledger = await createTestLedger();
});
afterAll(() => ledger?.close());

async function timed(
  call: () => Promise<Response>,
): Promise<{ status: number; body: unknown; ms: number; retryAfter: string | null }> {
  const startedAt = performance.now();
  const response = await call();
  const body = await response.json();
  return {
    status: response.status,
    body,
    ms: performance.now() - startedAt,
    retryAfter: response.headers.get('retry-after'),
  };
}

it('works without Redis, and hardly slower when Redis hangs', async () => {
  const cable = new Cable(process.env.LONGSHORE_TEST_REDIS_URL as string);
  await cable.plug();
  const api = await startTestApi(ledger, { redisUrl: cable.url });
  try {
    const id = await api.submit();
    await api.call(`/v1/jobs/${id}`);
    cable.hang();
    const reads = [];
    for (let n = 0; n < 20; n += 1) reads.push(await timed(() => api.call(`/v1/jobs/${id}`)));
    expect(reads.every((read) => read.status === 200)).toBe(true);
    const times = reads.map((read) => read.ms).sort((a, b) => a - b);
    // Far below what a hanging Redis could cost, on however busy a machine; once the breaker is open, it is not asked at all.
    expect(times.at(-1)).toBeLessThan(1_000);
    expect(times[10]).toBeLessThan(250);
    await cable.unplug();
    expect((await timed(() => api.call(`/v1/jobs/${id}`))).status).toBe(200);
    expect(await api.submit()).toEqual(expect.any(String));
  } finally {
    await api.stop();
    await cable.unplug();
  }
});

it('answers 503 within a second without PostgreSQL, and works again with it', async () => {
  const cable = new Cable(ledger.url);
  await cable.plug();
  const api: TestApi = await startTestApi({ ...ledger, url: cable.url });
  try {
    const id = await api.submit();
    await cable.unplug();
    for (const call of [
      () => api.call('/v1/jobs', { json: { type: 'echo', input: { text: 'x' } } }),
      () => api.call('/v1/jobs'),
      () => api.call(`/v1/jobs/${id}/result`),
      () => api.call('/v1/schedules'),
    ]) {
      const { status, body, ms, retryAfter } = await timed(call);
      expect(body).toMatchObject({
        status: 503,
        code: expect.stringMatching(/^(Unavailable|OutcomeUnknown)$/),
      });
      expect([status, retryAfter]).toEqual([503, '1']);
      expect(ms).toBeLessThan(1_000);
    }
    await cable.plug();
    await waitFor(async () => (await api.call('/v1/jobs')).status === 200, {
      describe: 'the API to work again',
    });
  } finally {
    await api.stop();
    await cable.unplug();
  }
});

it('refuses what is too much before it is read', async () => {
  const api = await startTestApi(ledger, { limits: { maxInFlight: 1 } });
  try {
    const answers = await Promise.all(Array.from({ length: 10 }, () => timed(() => api.call('/v1/jobs'))));
    expect(answers.filter((answer) => answer.status === 200).length).toBeGreaterThan(0);
    const refused = answers.filter((answer) => answer.status === 503);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.every((answer) => answer.retryAfter === '1')).toBe(true);
  } finally {
    await api.stop();
  }
});
