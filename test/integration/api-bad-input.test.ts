import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { uuidv7 } from '../../src/core/ids.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';

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

/** Rows that a refused request must not leave behind. */
async function countRows(): Promise<unknown> {
  const { rows } = await ledger.db.query(
    `select (select count(*) from jobs) as jobs, (select count(*) from events) as events, (select count(*) from blobs) as blobs,
       (select count(*) from blob_chunks) as chunks, (select count(*) from unique_keys) as keys, (select count(*) from schedules) as schedules,
       (select count(*) from bulk_operations) as bulk`,
  );
  return rows[0];
}

async function expectProblem(
  response: Response,
  status: number,
  code: string,
  errors?: unknown,
): Promise<void> {
  const text = await response.text();
  expect(text).not.toMatch(/\bat .*\.ts|node_modules|postgres/i);
  const problem = JSON.parse(text);
  expect(problem).toMatchObject({
    status,
    code,
    type: expect.stringMatching(/^\/problems\/[a-z-]+$/),
    title: expect.any(String),
    detail: expect.any(String),
  });
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  if (errors !== undefined) expect(problem.errors).toEqual(errors);
  else expect(problem).not.toHaveProperty('errors');
}

const year = (ms: number) => new Date(Date.now() + ms).toISOString();
const echo = (extra: object = {}) => ({ type: 'echo', input: { text: 'x' }, ...extra });

describe('POST /v1/jobs refuses', () => {
  it.each([
    ['an unknown type', { type: 'nothing', input: {} }, '/type', 'there is no such job type'],
    [
      'a type that works on a file, without one',
      { type: 'image-convert', input: { format: 'webp' } },
      '/type',
      'needs a file, which POST /v1/images brings',
    ],
    ['an unknown field', echo({ state: 'SUCCESS' }), '/state', 'is not known here'],
    ['a field of the ledger', echo({ namespace: 'other' }), '/namespace', 'is not known here'],
    [
      'a number as text',
      { type: 'echo', input: { text: 1 } },
      '/input/text',
      'expected string, received number',
    ],
    [
      'an unknown field of the input',
      { type: 'echo', input: { text: 'x', 'a/b': 1 } },
      '/input/a~1b',
      'is not known here',
    ],
    ['NUL', { type: 'echo', input: { text: 'a\0b' } }, '/input/text', 'must not contain U+0000'],
    [
      'a date that is none',
      echo({ runAt: 'tomorrow' }),
      '/runAt',
      'must be a time of ISO 8601 with its offset, such as 2030-01-31T12:00:00Z',
    ],
    [
      'a date too far ahead',
      echo({ runAt: year(367 * 86_400_000) }),
      '/runAt',
      'must be at most a year ahead',
    ],
    ['a priority of 1,000', echo({ priority: 1_000 }), '/priority', 'expected number to be <=100'],
    [
      'a webhook to the metadata service',
      echo({ webhook: { url: 'https://169.254.169.254/' } }),
      '/webhook/url',
      'must not lead to a private address',
    ],
    ['a label that is none', echo({ labels: { 'a b': 'x' } }), '/labels/a b', 'is no label name'],
    ['no input', { type: 'echo' }, '/input', 'is missing'],
  ])('%s', async (_name, json, pointer, detail) => {
    const before = await countRows();
    await expectProblem(await api.call('/v1/jobs', { json }), 400, 'InvalidInput', [{ pointer, detail }]);
    expect(await countRows()).toEqual(before);
  });

  it.each([
    ['wrong JSON', '{"type":', 'InvalidJson', undefined],
    ['an empty body', '', 'InvalidJson', undefined],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'InvalidJson', undefined],
    [
      'a lone surrogate',
      '{"type":"echo","input":{"text":"\\ud800"}}',
      'InvalidInput',
      [{ pointer: '/input/text', detail: 'must not contain a lone surrogate' }],
    ],
    [
      '__proto__',
      '{"type":"echo","input":{"text":"x","__proto__":{"polluted":1}}}',
      'InvalidInput',
      [{ pointer: '/input/__proto__', detail: 'a key of this name is not allowed' }],
    ],
    [
      '1e400',
      '{"type":"echo","input":{"text":"x","count":1e400}}',
      'InvalidInput',
      [{ pointer: '/input/count', detail: 'this number cannot be kept exactly: send it as text' }],
    ],
    [
      '2^53 + 1',
      '{"type":"echo","input":{"text":"x","count":9007199254740993}}',
      'InvalidInput',
      [{ pointer: '/input/count', detail: 'this number cannot be kept exactly: send it as text' }],
    ],
    ['an array', '[]', 'InvalidInput', [{ pointer: '', detail: 'expected object, received array' }]],
  ])('%s', async (_name, body, code, errors) => {
    const before = await countRows();
    const response = await api.call('/v1/jobs', {
      method: 'POST',
      body,
      headers: { 'Content-Type': 'application/json' },
    });
    await expectProblem(response, 400, code, errors);
    expect(await countRows()).toEqual(before);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('nesting without end', async () => {
    const body = `{"type":"echo","input":${'['.repeat(10_000)}${']'.repeat(10_000)}}`;
    const response = await api.call('/v1/jobs', {
      method: 'POST',
      body,
      headers: { 'Content-Type': 'application/json' },
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ detail: 'nested deeper than 32 levels' }] });
  });

  it('a body that is too large', async () => {
    const before = await countRows();
    await expectProblem(
      await api.call('/v1/jobs', { json: echo({ input: { text: 'x'.repeat(1_100_000) } }) }),
      413,
      'PayloadTooLarge',
    );
    expect(await countRows()).toEqual(before);
  });

  it.each([undefined, 'text/plain', 'application/json; charset=utf-7', 'application/x-www-form-urlencoded'])(
    'the content type %s',
    async (type) => {
      const response = await api.call('/v1/jobs', {
        method: 'POST',
        body: Buffer.from(JSON.stringify(echo())),
        headers: type === undefined ? {} : { 'Content-Type': type },
      });
      await expectProblem(response, 415, 'UnsupportedMediaType');
    },
  );

  it('a compressed body', async () => {
    const response = await api.call('/v1/jobs', { json: echo(), headers: { 'Content-Encoding': 'gzip' } });
    await expectProblem(response, 415, 'UnsupportedMediaType');
  });

  it.each(['x'.repeat(256), 'a b', 'ä'])('the idempotency key %s', async (key) => {
    const response = await api.call('/v1/jobs', {
      json: echo(),
      headers: { 'Idempotency-Key': Buffer.from(key).toString('latin1') },
    });
    await expectProblem(response, 400, 'InvalidInput', [
      { pointer: 'Idempotency-Key', detail: 'must be 1 to 255 visible ASCII characters' },
    ]);
  });

  it('a body that never ends, in time', async () => {
    const before = await countRows();
    const startedAt = performance.now();
    const { status, body } = await new Promise<{ status: number | undefined; body: string }>(
      (resolve, reject) => {
        const token = api.key();
        token.then((key) => {
          const req = request(`${api.url}/v1/jobs`, {
            method: 'POST',
            headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
          });
          req.on('response', (res) => {
            let text = '';
            res
              .on('data', (chunk) => (text += chunk))
              .on('end', () => resolve({ status: res.statusCode, body: text }));
          });
          req.on('error', reject);
          req.write('{"type":"echo"');
        }, reject);
      },
    );
    expect(status).toBe(408);
    expect(JSON.parse(body)).toMatchObject({ code: 'RequestTimeout' });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(await countRows()).toEqual(before);
  });
});

describe('other calls refuse', () => {
  it('an unknown route', async () => {
    await expectProblem(await api.call('/v1/nothing'), 404, 'NotFound');
    await expectProblem(await api.call('/nothing', { token: null }), 404, 'NotFound');
  });

  it('an unknown method, naming those there are', async () => {
    const response = await api.call('/v1/jobs', { method: 'PATCH' });
    expect(response.headers.get('allow')).toBe('GET, HEAD, POST');
    await expectProblem(response, 405, 'MethodNotAllowed');
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });

  it.each(['nonsense', '01890000-0000-7000-8000-00000000000', `${'0'.repeat(400)}`, '%00', '%E0%A4%A'])(
    'a job id like %s',
    async (id) => {
      await expectProblem(await api.call(`/v1/jobs/${id}`), 404, 'NotFound');
    },
  );

  it.each(['nonsense', 'MS54LjE', Buffer.from(`1.${uuidv7()}.0123456789abcdef`).toString('base64url')])(
    'the cursor %s',
    async (cursor) => {
      await expectProblem(await api.call(`/v1/jobs?cursor=${cursor}`), 400, 'InvalidCursor', [
        { pointer: '?cursor', detail: 'is not a cursor of this query' },
      ]);
    },
  );

  it('a cursor of another query', async () => {
    await Promise.all([api.submit(), api.submit()]);
    const page = (await (await api.call('/v1/jobs?limit=1')).json()) as { nextCursor: string };
    expect((await api.call(`/v1/jobs?limit=1&cursor=${page.nextCursor}`)).status).toBe(200);
    await expectProblem(
      await api.call(`/v1/jobs?type=echo&cursor=${page.nextCursor}`),
      400,
      'InvalidCursor',
      [{ pointer: '?cursor', detail: 'is not a cursor of this query' }],
    );
    const other = await api.key('other');
    await expectProblem(
      await api.call(`/v1/jobs?cursor=${page.nextCursor}`, { token: other }),
      400,
      'InvalidCursor',
      [{ pointer: '?cursor', detail: 'is not a cursor of this query' }],
    );
  });

  it.each([
    ['limit=1e9', '?limit', 'must be a number from 1 to 500'],
    ['limit=501', '?limit', 'must be a number from 1 to 500'],
    ['status=DONE', '?status', 'expected one of "CREATED"|"PROCESS"|"SUCCESS"|"ERROR"|"CANCELLED"'],
    ['label=%25', '?label', 'must be name=value'],
    ['type=echo&type=echo', '?type', 'is given more than once'],
    ['order=asc', '?order', 'is not known here'],
  ])('the query %s', async (query, pointer, detail) => {
    await expectProblem(await api.call(`/v1/jobs?${query}`), 400, 'InvalidInput', [{ pointer, detail }]);
  });

  it.each([
    ['a wrong length', '0x1234', 'expected 0x and 40 hexadecimal digits'],
    [
      'a wrong checksum',
      '0xdAC17F958D2ee523a2206206994597C13D831ec8',
      'the checksum (EIP-55) does not match: a digit or its case is wrong',
    ],
  ])('an address of %s', async (_name, address, detail) => {
    const before = await countRows();
    await expectProblem(await api.call('/v1/contracts', { json: { address } }), 400, 'InvalidInput', [
      { pointer: '/address', detail },
    ]);
    expect(await countRows()).toEqual(before);
  });

  it('a batch with mistakes, whole, pointing at each', async () => {
    const before = await countRows();
    const response = await api.call('/v1/jobs:batch', {
      json: { jobs: [echo(), { type: 'no', input: 1 }, echo({ priority: 'high' })] },
    });
    await expectProblem(response, 400, 'InvalidInput', [
      { pointer: '/jobs/1/type', detail: 'there is no such job type' },
      { pointer: '/jobs/2/priority', detail: 'expected number, received string' },
    ]);
    expect(await countRows()).toEqual(before);
  });

  it('a batch with a job that lacks its file', async () => {
    const before = await countRows();
    const json = { jobs: [echo(), { type: 'image-convert', input: { format: 'webp' } }] };
    await expectProblem(await api.call('/v1/jobs:batch', { json }), 400, 'InvalidInput', [
      { pointer: '/jobs/1/type', detail: 'needs a file, which POST /v1/images brings' },
    ]);
    expect(await countRows()).toEqual(before);
  });

  it('a webhook that nothing could sign', async () => {
    const secretless = await startTestApi(ledger, {
      webhooks: { allowInsecure: false, allowPrivate: false, canSign: false },
    });
    try {
      const before = await countRows();
      const json = echo({ webhook: { url: 'https://example.com/' } });
      await expectProblem(await secretless.call('/v1/jobs', { json }), 400, 'InvalidInput', [
        { pointer: '/webhook', detail: 'cannot be signed, since LONGSHORE_WEBHOOK_SECRET is not set' },
      ]);
      expect(await countRows()).toEqual(before);
      expect((await secretless.call('/v1/jobs', { json: echo() })).status).toBe(201);
    } finally {
      await secretless.stop();
    }
  });

  it('a bulk operation on everything', async () => {
    const before = await countRows();
    await expectProblem(await api.call('/v1/jobs:cancel', { json: {} }), 400, 'InvalidInput', [
      { pointer: '', detail: 'at least one of type, status and label is needed' },
    ]);
    expect(await countRows()).toEqual(before);
  });

  it.each([
    ['no timing', { job: echo() }, '', 'either cron or every is needed'],
    [
      'a cron of six fields',
      { cron: '* * * * * *', job: echo() },
      '/cron',
      'must have five fields: minute, hour, day, month, weekday',
    ],
    [
      'an unknown zone',
      { cron: '* * * * *', timeZone: 'Mars', job: echo() },
      '/timeZone',
      'is no IANA time zone, such as Europe/Berlin',
    ],
    [
      'a job that cannot run',
      { every: '10s', job: { type: 'echo', input: {} } },
      '/job/input/text',
      'is missing',
    ],
  ])('a schedule with %s', async (_name, json, pointer, detail) => {
    const before = await countRows();
    await expectProblem(await api.call('/v1/schedules/s', { json, method: 'PUT' }), 400, 'InvalidInput', [
      { pointer, detail },
    ]);
    expect(await countRows()).toEqual(before);
  });
});
