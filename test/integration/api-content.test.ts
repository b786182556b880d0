import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { uuidv7 } from '../../src/core/ids.ts';
import { BlobWriter } from '../../src/ledger/blobs.ts';
import { putJobType } from '../../src/ledger/job-types.ts';
import { putSchedule } from '../../src/ledger/schedules.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { createTestLedger, settle, type TestLedger } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

let ledger: TestLedger;
let api: TestApi;
let png: Buffer;
let tiny: Buffer;

beforeAll(async () => {
  ledger = await createTestLedger();
  api = await startTestApi(ledger);
  tiny = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  png = await sharp({
    create: {
      width: 700,
      height: 500,
      channels: 3,
      background: 'red',
      noise: { type: 'gaussian', mean: 128, sigma: 60 },
    },
  })
    .png()
    .toBuffer();
});
afterAll(async () => {
  await api?.stop();
  await ledger?.close();
});

function form(fields: Record<string, string>, file?: Uint8Array, name = 'photo.png'): FormData {
  const data = new FormData();
  for (const [key, value] of Object.entries(fields)) data.append(key, value);
  if (file !== undefined) data.append('file', new Blob([new Uint8Array(file)], { type: 'image/png' }), name);
  return data;
}

const upload = (body: FormData, headers: Record<string, string> = {}) =>
  api.call('/v1/images', { method: 'POST', body, headers });

async function countBlobs(): Promise<unknown> {
  const { rows } = await ledger.db.query(
    'select (select count(*) from blobs) as blobs, (select count(*) from blob_chunks) as chunks, (select count(*) from jobs) as jobs',
  );
  return rows[0];
}

async function succeed(id: string, result: unknown, blobs: object[] = []): Promise<void> {
  await settle(ledger.db, id, 'SUCCESS', { result, blobs });
}

async function store(content: Buffer): Promise<string> {
  const writer = new BlobWriter(ledger.db, 'default');
  await writer.write(content);
  return (await writer.complete()).blobId;
}

describe('POST /v1/images', () => {
  it('keeps the bytes, once for equal uploads, and makes a job of each', async () => {
    const first = await upload(form({ format: 'webp', width: '100' }, png, '../évil"\u202e.png'));
    expect(first.status).toBe(201);
    const job = (await first.json()) as { id: string; input: unknown };
    expect(job.input).toMatchObject({ format: 'webp', width: 100, fit: 'inside' });
    const second = await upload(form({ format: 'jpeg' }, png));
    expect(second.status).toBe(201);
    const { rows } = await ledger.db.query(
      `select b.bytes, b.sha256, string_agg(c.data, ''::bytea order by c.n) as data from blobs b join blob_chunks c on c.blob_id = b.id group by b.id`,
    );
    expect(rows).toHaveLength(1);
    expect(rows[0].sha256).toBe(createHash('sha256').update(png).digest('hex'));
    expect(png.length).toBeGreaterThan(262_144);
    expect(Buffer.compare(rows[0].data, png)).toBe(0);
    const owned = await ledger.db.query('select name, role from job_blobs where job_id = $1', [job.id]);
    expect(owned.rows).toEqual([{ name: 'évil%22 .png', role: 'input' }]);
  });

  it('is idempotent with a key', async () => {
    const headers = { 'Idempotency-Key': uuidv7() };
    const first = (await (await upload(form({ format: 'gif' }, png), headers)).json()) as { id: string };
    const again = await upload(form({ format: 'gif' }, png), headers);
    expect(again.status).toBe(200);
    expect(((await again.json()) as { id: string }).id).toBe(first.id);
    expect((await upload(form({ format: 'png' }, png), headers)).status).toBe(422);
  });

  const bomb = () => {
    const header = Buffer.alloc(33);
    Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'latin1').copy(header);
    header.writeUInt32BE(50_000, 16);
    header.writeUInt32BE(50_000, 20);
    return Buffer.concat([header, deflateSync(Buffer.alloc(1_000))]);
  };
  const twice = () => {
    const data = form({ format: 'png' }, png);
    data.append('format', 'webp');
    return data;
  };
  /** The last file part is larger than what the parser reads ahead: it is still under way when it is refused. */
  const withFiles = (...names: string[]) => {
    const data = form({ format: 'png' });
    for (const name of names.slice(0, -1)) data.append(name, new Blob([tiny]), 'tiny.png');
    data.append(names.at(-1) ?? '', new Blob([Buffer.alloc(700_000)]), 'large.png');
    return data;
  };
  it.each([
    ['no file', () => form({ format: 'png' }), '/file', 'is missing'],
    ['an empty file', () => form({ format: 'png' }, Buffer.alloc(0)), '/file', 'is empty'],
    [
      'an SVG',
      () => form({ format: 'png' }, Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')),
      '/file',
      'is an SVG document, which is not supported, not an image to convert',
    ],
    [
      'HTML',
      () => form({ format: 'png' }, Buffer.from('<!doctype html><script>alert(1)</script>')),
      '/file',
      'is an HTML document, not an image to convert',
    ],
    ['a bomb', () => form({ format: 'png' }, bomb()), '/file', 'has more than 100000000 pixels'],
    ['a duplicate field', twice, '/format', 'is given more than once'],
    ['a duplicate file', () => withFiles('file', 'file'), '/file', 'is given more than once'],
    ['a file in another part', () => withFiles('other'), '/other', 'is not known here'],
    ['an unknown field', () => form({ format: 'png', colour: 'red' }, png), '/colour', 'is not known here'],
    [
      'an unknown format',
      () => form({ format: 'bmp' }, png),
      '/format',
      expect.stringContaining('expected one of'),
    ],
    [
      'a width that is no number',
      () => form({ format: 'png', width: 'wide' }, png),
      '/width',
      'expected number, received string',
    ],
  ])('refuses %s and keeps nothing', async (_name, data, pointer, detail) => {
    const before = await countBlobs();
    const response = await upload(data());
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'InvalidInput', errors: [{ pointer, detail }] });
    await waitFor(countBlobs, (now) => JSON.stringify(now) === JSON.stringify(before), {
      describe: 'no blob to be left',
    });
    expect((await api.call('/v1/job-types')).status).toBe(200);
  });

  it('refuses a file that is too large, known and unknown length', async () => {
    const before = await countBlobs();
    expect(
      (await upload(form({ format: 'png' }, Buffer.concat([png, Buffer.alloc(1_100_000)])))).status,
    ).toBe(413);
    const within = Buffer.concat([png, Buffer.alloc(1_048_577 - png.length)]);
    const response = await upload(form({ format: 'png' }, within));
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ code: 'PayloadTooLarge' });
    expect(await countBlobs()).toEqual(before);
  });

  it('refuses another content type, and a form that was cut off', async () => {
    expect((await api.call('/v1/images', { json: {} })).status).toBe(415);
    const before = await countBlobs();
    const body = Buffer.concat([
      Buffer.from(
        '--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n',
      ),
      png,
    ]);
    const response = await api.call('/v1/images', {
      method: 'POST',
      body,
      headers: { 'Content-Type': 'multipart/form-data; boundary=x' },
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'InvalidInput' });
    expect(await countBlobs()).toEqual(before);
  });

  it('keeps nothing of a client that went away', async () => {
    const before = await countBlobs();
    const { hostname, port } = new URL(api.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST /v1/images HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await api.key()}\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 900000\r\n\r\n--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n`,
    );
    socket.write(png.subarray(0, 600_000));
    await waitFor(async () => JSON.stringify(await countBlobs()) !== JSON.stringify(before), {
      describe: 'a first chunk',
    });
    socket.destroy();
    await waitFor(async () => JSON.stringify(await countBlobs()) === JSON.stringify(before), {
      describe: 'the chunks to be gone',
    });
  });
});

describe('GET …/result of a blob', () => {
  it('gives it whole, in ranges, and by its tag', async () => {
    const content = Buffer.from(Array.from({ length: 600_000 }, (_, n) => n % 251));
    const id = await api.submit();
    await succeed(id, { ok: true }, [
      { blobId: await store(content), name: 'naïve "x".html', mediaType: 'text/html' },
    ]);
    const whole = await api.call(`/v1/jobs/${id}/result`);
    expect(Buffer.compare(Buffer.from(await whole.arrayBuffer()), content)).toBe(0);
    const etag = `"${createHash('sha256').update(content).digest('hex')}"`;
    expect(Object.fromEntries(whole.headers)).toMatchObject({
      etag,
      'content-type': 'application/octet-stream',
      'content-length': '600000',
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; sandbox",
      'content-disposition': `attachment; filename="na_ve _x_.html"; filename*=UTF-8''na%C3%AFve%20%22x%22.html`,
    });
    const range = async (value: string) => {
      const response = await api.call(`/v1/jobs/${id}/result`, { headers: { Range: value } });
      return [
        response.status,
        response.headers.get('content-range'),
        Buffer.from(await response.arrayBuffer()),
      ] as const;
    };
    expect(await range('bytes=262100-262199')).toEqual([
      206,
      'bytes 262100-262199/600000',
      content.subarray(262_100, 262_200),
    ]);
    expect(await range('bytes=-5')).toEqual([206, 'bytes 599995-599999/600000', content.subarray(-5)]);
    expect((await range('bytes=599999-'))[2]).toEqual(content.subarray(-1));
    expect((await range('bytes=600000-')).slice(0, 2)).toEqual([416, 'bytes */600000']);
    expect((await range('bytes=0-1,5-6'))[0]).toBe(200);
    expect((await api.call(`/v1/jobs/${id}/result`, { headers: { 'If-None-Match': etag } })).status).toBe(
      304,
    );
    expect(
      await (await api.call(`/v1/jobs/${id}/result`, { headers: { Accept: 'application/json' } })).json(),
    ).toEqual({ ok: true });
    await ledger.db.query('delete from blobs where sha256 = $1', [etag.slice(1, -1)]);
    const gone = await api.call(`/v1/jobs/${id}/result`);
    expect(gone.status).toBe(410);
    expect(gone.headers.get('etag')).toBeNull();
  });
});

describe('contracts', () => {
  const address = '0xdAC17F958D2ee523a2206206994597C13D831ec7';
  it('are loaded once, shown, and given as JSON or zip', async () => {
    const responses = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        api.call('/v1/contracts', { json: { address: n % 2 ? address : address.toLowerCase() } }),
      ),
    );
    const ids = await Promise.all(
      responses.map(async (response) => ((await response.json()) as { id: string }).id),
    );
    expect(new Set(ids).size).toBe(1);
    expect(responses.map((response) => response.status).sort()).toEqual([...Array(9).fill(200), 201]);
    const path = `/v1/contracts/1/${address}`;
    expect(await (await api.call(path)).json()).toMatchObject({
      chainId: 1,
      address,
      status: 'CREATED',
      links: { source: null },
    });
    expect((await api.call(`${path}/source`)).status).toBe(409);
    expect((await api.call(`/v1/contracts/2/${address}`)).status).toBe(404);
    expect((await api.call(path, { token: await api.key('other') })).status).toBe(404);
    const inBlob = Buffer.from('contract B {}');
    const file = (path: string, entry: string, rest: object) => ({
      path,
      entry,
      bytes: 13,
      sha256: 'x',
      ...rest,
    });
    const blobId = await store(inBlob);
    const source = {
      chainId: 1,
      address,
      storage: 'blobs',
      files: [file('../b.sol', 'b.sol', { blobId })],
      implementation: null,
    };
    await succeed(ids[0] as string, source, [
      { blobId, name: 'b.sol', mediaType: 'text/plain; charset=utf-8' },
    ]);
    expect(await (await api.call(`${path}/source`)).json()).toEqual(source);
    const zip = await api.call(`${path}/source`, { headers: { Accept: 'application/zip' } });
    expect(zip.headers.get('content-type')).toBe('application/zip');
    const bytes = Buffer.from(await zip.arrayBuffer());
    expect(bytes.subarray(0, 4).toString('latin1')).toBe('PK\x03\x04');
    const listed = ['b.sol', 'manifest.json', 'contract B {}'].filter((text) => bytes.includes(text));
    expect(listed).toEqual(expect.arrayContaining(['b.sol', 'manifest.json']));
    expect(bytes.includes('../b.sol')).toBe(false);
    expect((await api.call(`${path}/source`, { headers: { Accept: 'text/html' } })).status).toBe(406);
  });

  it('that failed are loaded again', async () => {
    const other = '0x00000000219ab540356cBB839Cbe05303d7705Fa';
    const submit = async () =>
      (await (await api.call('/v1/contracts', { json: { address: other } })).json()) as { id: string };
    const first = await submit();
    await ledger.db.query(`select longshore.cancel_jobs('default', array[$1::uuid])`, [first.id]);
    expect((await submit()).id).not.toBe(first.id);
  });
});

describe('schedules', () => {
  const spec = { cron: '0 3 * * *', timeZone: 'Europe/Berlin', job: { type: 'echo', input: { text: 'x' } } };
  const put = (name: string, json: object = spec) =>
    api.call(`/v1/schedules/${name}`, { method: 'PUT', json });

  it('are made, repeated, changed, listed and ended', async () => {
    const made = await put('nightly');
    expect(made.status).toBe(201);
    const schedule = (await made.json()) as { nextFireAt: string };
    expect(schedule).toMatchObject({ name: 'nightly', owner: 'rest', version: 1, overlap: 'allow' });
    expect(Date.parse(schedule.nextFireAt)).toBeGreaterThan(Date.now());
    expect(await (await put('nightly')).json()).toMatchObject({
      version: 1,
      nextFireAt: schedule.nextFireAt,
    });
    expect(await (await put('nightly', { ...spec, suspend: true })).json()).toMatchObject({
      version: 2,
      nextFireAt: null,
    });
    await put('another', { every: '10s', job: spec.job });
    const page = (await (await api.call('/v1/schedules?limit=1')).json()) as {
      schedules: object[];
      nextCursor: string;
    };
    expect(page.schedules).toMatchObject([{ name: 'another' }]);
    expect(await (await api.call(`/v1/schedules?cursor=${page.nextCursor}`)).json()).toMatchObject({
      schedules: [{ name: 'nightly' }],
      nextCursor: null,
    });
    expect((await api.call('/v1/schedules/nightly', { method: 'DELETE' })).status).toBe(204);
    expect((await api.call('/v1/schedules/nightly')).status).toBe(404);
    expect((await api.call('/v1/schedules/nightly', { method: 'DELETE' })).status).toBe(404);
  });

  it('of a resource are left to it', async () => {
    await putSchedule(ledger.db, {
      namespace: 'default',
      name: 'owned',
      spec,
      resourceUid: 'uid-1',
      nextFireAtMs: null,
    });
    for (const response of [
      await put('owned'),
      await api.call('/v1/schedules/owned', { method: 'DELETE' }),
    ]) {
      expect(response.status).toBe(409);
      expect(await response.json()).toMatchObject({ code: 'ScheduleOwned' });
    }
  });
});

describe('job types', () => {
  it('are listed, and a user’s own judge their input', async () => {
    await putJobType(ledger.db, {
      namespace: 'default',
      name: 'custom',
      description: 'x',
      inputSchema: { type: 'object', properties: { n: { type: 'integer' } }, additionalProperties: false },
      resultSchema: true,
      defaults: { retries: 1 },
      limits: { maxRunning: 2, rate: { count: 3, perSeconds: 1 } },
    });
    const { jobTypes } = (await (await api.call('/v1/job-types')).json()) as { jobTypes: { name: string }[] };
    expect(jobTypes.map((type) => type.name)).toEqual([
      'contract-source',
      'custom',
      'echo',
      'exchange-rate',
      'image-convert',
      'meter-readings',
    ]);
    expect(jobTypes[1]).toMatchObject({
      defaults: { retries: 1, timeoutSeconds: 300 },
      limits: { maxRunning: 2, rate: { count: 3, perSeconds: 1 } },
    });
    const submit = (input: unknown, token?: string) =>
      api.call('/v1/jobs', { json: { type: 'custom', input }, ...(token === undefined ? {} : { token }) });
    expect((await submit({ n: 1 })).status).toBe(201);
    expect(await (await submit({ n: 'x' })).json()).toMatchObject({
      errors: [{ pointer: '/input/n', detail: 'must be integer' }],
    });
    expect(await (await submit({ m: 1 })).json()).toMatchObject({
      errors: [{ pointer: '/input/m', detail: 'is not known here' }],
    });
    expect((await submit({ n: 1 }, await api.key('other'))).status).toBe(400);
  });

  it('and every route are in the OpenAPI document, which equals the committed one', async () => {
    const document = (await (await api.call('/openapi.json', { token: null })).json()) as {
      paths: object;
      info: object;
    };
    const committed = JSON.parse(await readFile(new URL('../../docs/openapi.json', import.meta.url), 'utf8'));
    expect(document.paths).toEqual(committed.paths);
    const docs = await api.call('/docs', { token: null });
    expect(docs.headers.get('content-security-policy')).not.toContain('unsafe');
    expect(await docs.text()).toContain('/v1/jobs/{id}/events');
  });
});
