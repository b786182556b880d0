import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { uuidv7 } from '../../src/core/ids.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { createTestLedger, settle, type TestLedger } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

let ledger: TestLedger;
let api: TestApi;

beforeAll(async () => {
  ledger = await createTestLedger();
  api = await startTestApi(ledger);
});
afterAll(async () => {
  await api?.stop();
  await ledger?.close();
});

const echo = (text: string, extra: object = {}) => ({ type: 'echo', input: { text }, ...extra });

/** Ends a job as a worker would, as far as REST can see it. */
async function finish(id: string, status: 'SUCCESS' | 'ERROR', result: unknown = null): Promise<void> {
  const error = { code: 'Broken', message: 'no', retryable: false };
  await settle(ledger.db, id, status, status === 'ERROR' ? { error } : { result });
}

describe('submitting', () => {
  it('answers what a read answers', async () => {
    const response = await api.call('/v1/jobs', {
      json: echo('a', {
        priority: 7,
        labels: { team: 'x' },
        runAt: '2020-01-01T00:00:00Z',
        webhook: { url: 'https://example.com/' },
      }),
    });
    expect(response.status).toBe(201);
    const job = (await response.json()) as { id: string };
    expect(response.headers.get('location')).toBe(`/v1/jobs/${job.id}`);
    expect(await (await api.call(`/v1/jobs/${job.id}`)).json()).toEqual(job);
    expect(job).toMatchObject({
      status: 'CREATED',
      priority: 7,
      labels: { team: 'x' },
      runAt: null,
      version: 1,
    });
  });

  it('keeps the client’s trace', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const job = (await (
      await api.call('/v1/jobs', { json: echo('t'), headers: { traceparent } })
    ).json()) as { id: string };
    const { rows } = await ledger.db.query('select traceparent from jobs where id = $1', [job.id]);
    expect(rows).toEqual([{ traceparent }]);
  });

  it('makes one job of 50 requests at once with one key', async () => {
    const headers = { 'Idempotency-Key': `race-${uuidv7()}` };
    const responses = await Promise.all(
      Array.from({ length: 50 }, () => api.call('/v1/jobs', { json: echo('race'), headers })),
    );
    const ids = await Promise.all(
      responses.map(async (response) => ((await response.json()) as { id: string }).id),
    );
    expect(new Set(ids).size).toBe(1);
    expect(responses.filter((response) => response.status === 201)).toHaveLength(1);
    expect(responses.filter((response) => response.status === 200)).toHaveLength(49);
    const other = await api.call('/v1/jobs', { json: echo('other'), headers });
    expect(other.status).toBe(422);
    expect(await other.json()).toMatchObject({ code: 'IdempotencyConflict' });
    const tenant = await api.call('/v1/jobs', { json: echo('race'), headers, token: await api.key('other') });
    expect(tenant.status).toBe(201);
  });

  it('accepts a batch once', async () => {
    const headers = { 'Idempotency-Key': `batch-${uuidv7()}` };
    const json = { jobs: [echo('1'), echo('2')] };
    const first = await api.call('/v1/jobs:batch', { json, headers });
    expect(first.status).toBe(201);
    const again = await api.call('/v1/jobs:batch', { json, headers });
    expect(again.status).toBe(200);
    const idsOf = async (response: Response) =>
      ((await response.json()) as { jobs: { id: string }[] }).jobs.map((job) => job.id);
    expect(await idsOf(again)).toEqual(await idsOf(first));
    const longer = await api.call('/v1/jobs:batch', { json: { jobs: [...json.jobs, echo('3')] }, headers });
    expect(longer.status).toBe(422);
  });

  it('walks pages without losing or repeating a job', async () => {
    const token = await api.key('pages');
    const submitted: string[] = [];
    for (let n = 0; n < 5; n += 1) {
      const json = echo(`${n}`, { labels: { n: n % 2 === 0 ? 'even' : 'odd' } });
      submitted.unshift(((await (await api.call('/v1/jobs', { json, token })).json()) as { id: string }).id);
    }
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = `/v1/jobs?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const page = (await (await api.call(query, { token })).json()) as {
        jobs: { id: string }[];
        nextCursor: string | null;
      };
      seen.push(...page.jobs.map((job) => job.id));
      cursor = page.nextCursor;
    }
    expect(seen).toEqual(submitted);
    const odd = (await (await api.call('/v1/jobs?label=n=odd', { token })).json()) as { jobs: unknown[] };
    expect(odd.jobs).toHaveLength(2);
  });
});

describe('a job’s end', () => {
  it('is seen by a poll at once, whatever the cache held', async () => {
    const id = await api.submit();
    await api.call(`/v1/jobs/${id}`);
    await finish(id, 'SUCCESS', { answer: 42 });
    const startedAt = performance.now();
    await waitFor(
      async () =>
        ((await (await api.call(`/v1/jobs/${id}`)).json()) as { status: string }).status === 'SUCCESS',
      {
        describe: 'the poll to see SUCCESS',
        timeoutMs: 4_000,
      },
    );
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  it('gives the result as JSON, and 409 before', async () => {
    const id = await api.submit();
    const early = await api.call(`/v1/jobs/${id}/result`);
    expect(early.status).toBe(409);
    expect(await early.json()).toMatchObject({ code: 'JobUnfinished' });
    await finish(id, 'SUCCESS', { answer: 42 });
    expect(await (await api.call(`/v1/jobs/${id}/result`)).json()).toEqual({ answer: 42 });
    const failed = await api.submit();
    await finish(failed, 'ERROR');
    expect(await (await api.call(`/v1/jobs/${failed}/result`)).json()).toMatchObject({
      code: 'JobFailed',
      detail: 'The job failed: Broken',
    });
  });

  it('cancels a waiting job, once, and retries it, once', async () => {
    const id = await api.submit();
    const cancelled = await api.call(`/v1/jobs/${id}`, { method: 'DELETE' });
    expect(cancelled.status).toBe(200);
    expect(await cancelled.json()).toMatchObject({ status: 'CANCELLED' });
    expect((await api.call(`/v1/jobs/${id}`, { method: 'DELETE' })).status).toBe(409);
    const retries = await Promise.all([1, 2].map(() => api.call(`/v1/jobs/${id}:retry`, { method: 'POST' })));
    expect(retries.map((response) => response.status).sort()).toEqual([200, 409]);
    expect(await (await api.call(`/v1/jobs/${id}`)).json()).toMatchObject({ status: 'CREATED', attempt: 2 });
    await finish(id, 'SUCCESS');
    expect((await api.call(`/v1/jobs/${id}:retry`, { method: 'POST' })).status).toBe(409);
  });

  it('writes bulk operations down', async () => {
    const response = await api.call('/v1/jobs:cancel', { json: { type: 'echo', label: 'a=b' } });
    expect(response.status).toBe(202);
    const location = response.headers.get('location') ?? '';
    const operation = await response.json();
    expect(operation).toMatchObject({
      kind: 'cancel',
      state: 'running',
      matched: 0,
      filter: { type: 'echo', label: 'a=b' },
    });
    expect(await (await api.call(location)).json()).toEqual(operation);
    expect((await api.call(location, { token: await api.key('other') })).status).toBe(404);
  });
});

interface SseEvent {
  id: string;
  event: string;
}

/** Reads a stream until it ends, or until `count` events came. */
async function readEvents(response: Response, count = Number.POSITIVE_INFINITY): Promise<SseEvent[]> {
  const events: SseEvent[] = [];
  let text = '';
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const id = /^id: (.*)$/m.exec(block)?.[1];
      if (id !== undefined) events.push({ id, event: /^event: (.*)$/m.exec(block)?.[1] ?? '' });
    }
    if (events.length >= count) break;
  }
  return events;
}

describe('event streams', () => {
  it('end with the job, and resume where they were left', async () => {
    const id = await api.submit();
    const response = await api.call(`/v1/jobs/${id}/events`);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const all = readEvents(response);
    await finish(id, 'SUCCESS');
    expect(await all).toEqual([
      { id: '1', event: 'accepted' },
      { id: '2', event: 'succeeded' },
    ]);
    const rest = await api.call(`/v1/jobs/${id}/events`, { headers: { 'Last-Event-ID': '1' } });
    expect(await readEvents(rest)).toEqual([{ id: '2', event: 'succeeded' }]);
    expect((await api.call(`/v1/jobs/${id}/events`, { headers: { 'Last-Event-ID': '2' } })).status).toBe(204);
    expect((await api.call(`/v1/jobs/${id}/events`, { headers: { 'Last-Event-ID': 'x' } })).status).toBe(400);
  });

  it('tell of changes without a notification', async () => {
    const id = await api.submit();
    const stream = readEvents(await api.call(`/v1/jobs/${id}/events`));
    await settle(ledger.db, id, 'CANCELLED');
    expect((await stream).at(-1)).toEqual({ id: '2', event: 'cancelled' });
  });

  it('are limited for each key, and give their place back', async () => {
    const token = await api.key('streams');
    const id = ((await (await api.call('/v1/jobs', { json: echo('s'), token })).json()) as { id: string }).id;
    const open = (signal: AbortSignal) => api.call(`/v1/jobs/${id}/events`, { token, signal });
    const abort = new AbortController();
    const streams = await Promise.all(Array.from({ length: 20 }, () => open(abort.signal)));
    expect(streams.every((stream) => stream.status === 200)).toBe(true);
    const refused = await open(AbortSignal.timeout(5_000));
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('5');
    abort.abort();
    await waitFor(
      async () => {
        const retry = new AbortController();
        const { status } = await open(retry.signal);
        retry.abort();
        return status === 200;
      },
      { describe: 'a stream to be free again' },
    );
  });
});

describe('keys', () => {
  it('are needed, must be right, and are not told apart', async () => {
    const good = await api.key();
    const wrong = `${good.slice(0, -1)}${good.endsWith('A') ? 'B' : 'A'}`;
    const expired = await api.key('default', ['read'], Date.now() - 1);
    const bodies = await Promise.all(
      [null, wrong, expired, 'lsk_x', `lsk_0000000000000000_${'a'.repeat(43)}`].map(async (token) => {
        const response = await api.call('/v1/jobs', { token });
        expect(response.status).toBe(401);
        return response.text();
      }),
    );
    expect(new Set(bodies).size).toBe(1);
    expect((await api.call(`/v1/jobs?key=${good}`, { token: null })).status).toBe(401);
  });

  it('are bound to their scopes', async () => {
    const read = await api.key('default', ['read']);
    const submit = await api.key('default', ['submit']);
    const admin = await api.key('default', ['admin']);
    const id = await api.submit();
    const writes: [string, string][] = [
      ['POST', '/v1/jobs'],
      ['POST', '/v1/jobs:batch'],
      ['POST', '/v1/jobs:cancel'],
      ['POST', '/v1/jobs:retry'],
      ['POST', `/v1/jobs/${id}:retry`],
      ['DELETE', `/v1/jobs/${id}`],
      ['POST', '/v1/images'],
      ['POST', '/v1/contracts'],
      ['PUT', '/v1/schedules/a'],
      ['DELETE', '/v1/schedules/a'],
    ];
    for (const [method, path] of writes)
      expect((await api.call(path, { method, token: read })).status, `${method} ${path}`).toBe(403);
    expect((await api.call(`/v1/jobs/${id}`, { token: submit })).status).toBe(403);
    expect((await api.call(`/v1/jobs/${id}`, { token: admin })).status).toBe(200);
  });

  it('see their own namespace only: the answer is that for a job that never was', async () => {
    const id = await api.submit();
    const token = await api.key('other', ['submit', 'read', 'admin']);
    for (const [method, tail] of [
      ['GET', ''],
      ['GET', '/result'],
      ['GET', '/events'],
      ['POST', ':retry'],
      ['DELETE', ''],
    ] as const) {
      const foreign = await api.call(`/v1/jobs/${id}${tail}`, { method, token });
      const random = await api.call(`/v1/jobs/${uuidv7()}${tail}`, { method, token });
      expect(foreign.status).toBe(404);
      expect(await foreign.text()).toBe(await random.text());
    }
    expect(await (await api.call(`/v1/jobs/${id}`)).json()).toMatchObject({ status: 'CREATED' });
  });

  it('send no faster than they may', async () => {
    const slow = await startTestApi(ledger, { rateLimit: { perSecond: 0.5, burst: 3 } });
    try {
      const responses = await Promise.all(Array.from({ length: 5 }, () => slow.call('/v1/jobs')));
      expect(responses.map((response) => response.status).sort()).toEqual([200, 200, 200, 429, 429]);
      expect(responses.find((response) => response.status === 429)?.headers.get('retry-after')).toMatch(
        /^[12]$/,
      );
      expect((await slow.call('/v1/jobs', { token: await slow.key('other') })).status).toBe(200);
    } finally {
      await slow.stop();
    }
  });
});
