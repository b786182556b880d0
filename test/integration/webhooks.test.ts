import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebhookDelivery, type WebhookSettings } from '../../src/controller/webhooks.ts';
import { systemClock } from '../../src/core/clock.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { verifyWebhook } from '../../src/core/webhook-signature.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { cancelJobs, retryJobs } from '../../src/ledger/jobs.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

interface Received {
  path: string;
  headers: Record<string, string>;
  body: string;
}

const SECRET = 'a secret of the test';

let ledger: TestLedger;
let server: Server;
let received: Received[];
let answer: (req: IncomingMessage, res: ServerResponse) => void;
let deliveries: WebhookDelivery[];
const never = new AbortController().signal;

beforeEach(async () => {
  ledger = await createTestLedger();
  received = [];
  deliveries = [];
  answer = (_req, res) => res.end();
  server = createServer((req, res) => {
    let body = '';
    req.on('data', (chunk) => {
      body += chunk;
    });
    req.on('end', () => {
      received.push({ path: req.url ?? '', headers: req.headers as Record<string, string>, body });
      answer(req, res);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  await Promise.all(deliveries.map((delivery) => delivery.close()));
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await ledger.close();
});

const base = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

function delivery(settings: Partial<WebhookSettings> = {}): WebhookDelivery {
  const made = new WebhookDelivery({
    db: ledger.db,
    clock: systemClock,
    logger: silentLogger,
    settings: {
      secrets: [SECRET],
      policy: { allowInsecure: true, allowPrivate: true },
      deadlineMs: 2_000,
      ...settings,
    },
  });
  deliveries.push(made);
  return made;
}

/** Jobs that have ended, each with a webhook to `url`. */
async function finishJobs(urls: readonly string[]): Promise<string[]> {
  const jobs = urls.map((url) => newJob({ webhook: { url }, labels: { team: 'a' }, input: 'secret input' }));
  await acceptJobs(ledger.db, jobs);
  const ids = jobs.map((job) => job.id);
  await cancelJobs(ledger.db, 'default', ids);
  return ids;
}

const rows = async () => (await ledger.db.query('select * from webhooks order by id')).rows;
const makeDue = () => ledger.db.query(`update webhooks set next_attempt_at = now() - interval '1 second'`);

describe('a webhook', () => {
  it('is one POST, signed with both secrets, that tells of the job and not of its input', async () => {
    const [id = ''] = await finishJobs([`${base()}/hook?x=1`]);
    const sender = delivery({ secrets: ['the new secret 1', SECRET] });
    expect(await sender.runOnce(never)).toEqual({ delivered: 1, failed: 0, gaveUp: 0 });
    expect(await sender.runOnce(never)).toEqual({ delivered: 0, failed: 0, gaveUp: 0 });
    expect(received).toHaveLength(1);
    const { path, headers, body } = received[0] as Received;
    expect(path).toBe('/hook?x=1');
    expect(JSON.parse(body)).toMatchObject({
      id: `${id}-2`,
      job: { id, namespace: 'default', type: 'echo', status: 'CANCELLED', labels: { team: 'a' }, version: 2 },
    });
    expect(body).not.toContain('secret input');
    const message = {
      id: headers['longshore-webhook-id'] ?? '',
      body,
      nowUnixSeconds: Math.floor(Date.now() / 1_000),
    };
    expect(message.id).toBe(`${id}-2`);
    for (const secret of [SECRET, 'the new secret 1'])
      expect(verifyWebhook(secret, headers['longshore-signature'] ?? '', message)).toBe(true);
  });

  it('comes again, the same, until the target takes it', async () => {
    const [id = ''] = await finishJobs([base()]);
    answer = (_req, res) => res.writeHead(503).end();
    const sender = delivery();
    expect(await sender.runOnce(never)).toEqual({ delivered: 0, failed: 1, gaveUp: 0 });
    const [failed] = await rows();
    expect(failed.last_error).toBe('Http503: the target answered 503');
    expect(failed.next_attempt_at.getTime()).toBeGreaterThan(Date.now() + 2_000);
    // The job goes on meanwhile: the webhook still tells of the end that it was made for.
    await retryJobs(ledger.db, 'default', [id]);
    answer = (_req, res) => res.end();
    await makeDue();
    expect(await sender.runOnce(never)).toEqual({ delivered: 1, failed: 0, gaveUp: 0 });
    expect(received[1]?.headers['longshore-webhook-id']).toBe(received[0]?.headers['longshore-webhook-id']);
    expect(received[1]?.body).toBe(received[0]?.body);
  });

  it('is given up when its time is over, with the reason', async () => {
    await finishJobs([base()]);
    await ledger.db.query(`update webhooks set expires_at = now() + interval '1 second'`);
    answer = (_req, res) => res.writeHead(500).end();
    expect(await delivery().runOnce(never)).toEqual({ delivered: 0, failed: 0, gaveUp: 1 });
    const [row] = await rows();
    expect(row).toMatchObject({ delivered_at: null, last_error: 'Http500: the target answered 500' });
    expect(row.gave_up_at).not.toBeNull();
    await makeDue();
    expect(await delivery().runOnce(never)).toEqual({ delivered: 0, failed: 0, gaveUp: 0 });
  });

  it('is not sent unsigned', async () => {
    await finishJobs([base()]);
    expect(await delivery({ secrets: [] }).runOnce(never)).toMatchObject({ failed: 1 });
    expect((await rows())[0].last_error).toMatch(/^NoSecret/);
    expect(received).toEqual([]);
  });

  it('is sent by one of two leaders', async () => {
    await finishJobs(Array.from({ length: 100 }, (_, n) => `${base()}/${n}`));
    const counts = await Promise.all([
      delivery({ perTarget: 20 }).runOnce(never),
      delivery({ perTarget: 20 }).runOnce(never),
    ]);
    expect(counts[0].delivered + counts[1].delivered).toBe(100);
    expect(new Set(received.map(({ path }) => path)).size).toBe(100);
    expect(received).toHaveLength(100);
  });

  it('is given back when the leader stops, and costs no try', async () => {
    await finishJobs([base()]);
    answer = () => {};
    const stopping = new AbortController();
    const round = delivery().runOnce(stopping.signal);
    await waitFor(
      () => received.length,
      (n) => n === 1,
    );
    stopping.abort();
    await round;
    expect((await rows())[0]).toMatchObject({ attempts: 0, delivered_at: null, last_error: null });
    answer = (_req, res) => res.end();
    expect(await delivery().runOnce(never)).toMatchObject({ delivered: 1 });
  });
});

describe('a bad target', () => {
  it.each<[string, (res: ServerResponse) => void, RegExp]>([
    ['redirects', (res) => res.writeHead(307, { location: 'http://169.254.169.254/' }).end(), /^Http307/],
    ['never answers', () => {}, /^Timeout/],
    ['sends an answer drop by drop', (res) => drip(res), /^Timeout/],
    ['breaks the connection', (res) => res.destroy(), /^NetworkError/],
  ])('that %s is a failure', async (_, answerWith, reason) => {
    await finishJobs([base()]);
    answer = (_req, res) => answerWith(res);
    expect(await delivery({ deadlineMs: 500 }).runOnce(never)).toMatchObject({ failed: 1 });
    expect((await rows())[0].last_error).toMatch(reason);
    expect(received).toHaveLength(1);
  });

  it('that answers without end is cut off and has got the message', async () => {
    await finishJobs([base()]);
    let sent = 0;
    answer = (_req, res) => {
      const more = () => {
        while (!res.destroyed && res.write(Buffer.alloc(16_384))) sent += 16_384;
      };
      res.on('drain', more).on('error', () => {});
      more();
    };
    expect(await delivery().runOnce(never)).toMatchObject({ delivered: 1 });
    // What the kernel buffers on both sides is sent too; a gigabyte is not.
    expect(sent).toBeLessThan(64 * 1_024 * 1_024);
  });

  it('does not delay others: 100 that hang, and one that answers', async () => {
    // Each address of 127/8 is a target of its own.
    const { port } = server.address() as AddressInfo;
    const hanging = createServer(() => {});
    await new Promise<void>((resolve) => hanging.listen(0, '0.0.0.0', resolve));
    const hangingPort = (hanging.address() as AddressInfo).port;
    await finishJobs(
      Array.from({ length: 300 }, (_, n) => `http://127.0.1.${1 + (n % 100)}:${hangingPort}/`),
    );
    await finishJobs([`http://127.0.0.1:${port}/`]);
    const stopping = new AbortController();
    const round = delivery({ deadlineMs: 10_000 }).runOnce(stopping.signal);
    await waitFor(
      () => received.length,
      (n) => n === 1,
      { timeoutMs: 3_000, describe: 'the webhook of the target that answers' },
    );
    // … and one that becomes due while the others hang.
    await finishJobs([`http://127.0.0.1:${port}/late`]);
    await waitFor(
      () => received.length,
      (n) => n === 2,
      { timeoutMs: 3_000, describe: 'the webhook that came later' },
    );
    stopping.abort();
    await round;
    hanging.closeAllConnections();
    await new Promise((resolve) => hanging.close(resolve));
  });
});

describe('a private target', () => {
  const strict = { allowInsecure: true, allowPrivate: false };

  it('is refused where the URL shows it, for good', async () => {
    await finishJobs([base()]);
    expect(await delivery({ policy: strict }).runOnce(never)).toMatchObject({ gaveUp: 1 });
    expect((await rows())[0].last_error).toMatch(/^RefusedUrl/);
    expect(received).toEqual([]);
  });

  it.each([
    ['one that leads there', ['127.0.0.1']],
    ['one of whose addresses one is private', ['93.184.216.34', '10.0.0.1']],
    ['an IPv4 address in disguise', ['64:ff9b::7f00:1']],
    ['6to4', ['2002:7f00:1::']],
    ['an IPv4-compatible address', ['::7f00:1']],
  ])('is refused where its name resolves to %s', async (_, addresses) => {
    await finishJobs(['http://hook.example.com/']);
    const resolve = async () =>
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    expect(await delivery({ policy: strict, resolve }).runOnce(never)).toMatchObject({ failed: 1 });
    expect((await rows())[0].last_error).toBe('NetworkError: PrivateAddress');
  });
});

function drip(res: ServerResponse): void {
  const timer = setInterval(() => res.write('x'), 50);
  res.on('close', () => clearInterval(timer));
}
