import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RunningScaler, startScaler } from '../../src/controller/scaler.ts';
import type { NewJob } from '../../src/core/job.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { admitJobs } from '../../src/ledger/admission.ts';
import { connectDatabase, type Database } from '../../src/ledger/database.ts';
import { putJobType } from '../../src/ledger/job-types.ts';
import { LedgerListener } from '../../src/ledger/listener.ts';
import { readPoolLoads } from '../../src/ledger/pool-loads.ts';
import { putPool } from '../../src/ledger/pools.ts';
import { createTestLedger, newJob, settle, type TestLedger } from '../support/ledger.ts';
import { ScalerClient } from '../support/scaler.ts';
import { waitFor } from '../support/wait-for.ts';

const POOL = { namespace: 'default', pool: 'default' };

let ledger: TestLedger;
let listener: LedgerListener;
let requests: string[];
let closers: (() => Promise<void> | void)[];

beforeAll(async () => {
  ledger = await createTestLedger(['echo', 'limited']);
  listener = new LedgerListener({ url: ledger.url, logger: silentLogger });
  const listening = new Promise((resolve) => listener.once('connected', () => resolve(undefined)));
  listener.start();
  await listening;
});

afterAll(async () => {
  await listener.stop();
  await ledger.close();
});

beforeEach(() => {
  requests = [];
  closers = [];
});

afterEach(async () => {
  for (const close of closers.toReversed()) await close();
  await ledger.db.query(
    'truncate jobs, job_types, budgets, unique_keys; delete from pools where name <> $$default$$',
  );
  await scale({ paused: false });
});

/** Repeats slowly, so that whatever a test sees of it at once came by a notification. */
async function start(
  options: {
    db?: Database;
    repeatMs?: number;
    tls?: { cert: string; key: string; ca?: string };
    certificateMs?: number;
  } = {},
): Promise<{ scaler: RunningScaler; client: ScalerClient }> {
  const { tls } = options;
  const scaler = await startScaler({
    settings: {
      host: '127.0.0.1',
      port: 0,
      tlsCertFile: tls?.cert ?? '',
      tlsKeyFile: tls?.key ?? '',
      tlsCaFile: tls?.ca ?? '',
    },
    db: options.db ?? ledger.db,
    listener,
    logger: silentLogger,
    repeatMs: options.repeatMs ?? 3_600_000,
    ...(options.certificateMs === undefined ? {} : { certificateMs: options.certificateMs }),
    metrics: {
      onScalerRequest: (method, code) => requests.push(`${method} ${code}`),
      onScalerPush: () => {},
    },
  });
  const client = new ScalerClient(scaler.port);
  closers.push(() => scaler.stop());
  closers.push(() => client.close());
  return { scaler, client };
}

async function scale(overrides: {
  maxReplicas?: number;
  jobsPerReplica?: number;
  paused?: boolean;
}): Promise<void> {
  const pool = { namespace: 'default', name: 'default', types: ['echo', 'limited'] };
  const scaled = { maxReplicas: 10, jobsPerReplica: 10, paused: false, ...overrides };
  await putPool(ledger.db, { ...pool, scale: scaled }, ledger.poolSecret);
}

async function accept(count: number, overrides: Partial<NewJob> = {}): Promise<string[]> {
  const jobs = Array.from({ length: count }, () => newJob(overrides));
  await acceptJobs(ledger.db, jobs);
  return jobs.map((job) => job.id);
}

const limit = (limits: { maxRunning?: number; perMinute?: number; budget?: string }) =>
  putJobType(ledger.db, {
    namespace: 'default',
    name: 'limited',
    description: '',
    inputSchema: {},
    resultSchema: {},
    defaults: {},
    limits: {
      maxRunning: limits.maxRunning ?? null,
      rate: limits.perMinute === undefined ? null : { count: limits.perMinute, perSeconds: 60 },
      ...(limits.budget === undefined ? {} : { budget: limits.budget }),
    },
  });

describe('a stream', () => {
  it('says where its pool stands when it opens, and calls at the commit of the first work', async () => {
    const { client } = await start();
    const idle = client.stream(POOL);
    await waitFor(() => idle.states.length === 1, { describe: 'the state at the opening' });
    expect(idle.states).toEqual([false]);
    await accept(1);
    await waitFor(() => idle.states.length === 2, { describe: 'the call for a pod' });
    expect(idle.states).toEqual([false, true]);
    const busy = client.stream(POOL);
    await waitFor(() => busy.states.length > 0, { describe: 'the state of a pool with work' });
    expect(busy.states).toEqual([true]);
  });

  it('calls again while work waits, and for new work after the pool was seen idle', async () => {
    const { client } = await start({ repeatMs: 50 });
    const [id = ''] = await accept(1);
    const stream = client.stream(POOL);
    await waitFor(() => stream.states.length >= 4, { describe: 'further calls' });
    expect(stream.states).not.toContain(false);
    await settle(ledger.db, id, 'CANCELLED');
    await waitFor(async () => !(await client.isActive(POOL)).result, { describe: 'the pool to be idle' });
    const before = stream.states.length;
    await accept(1);
    await waitFor(() => stream.states.length > before, { describe: 'the call for the next work' });
    expect(stream.states).not.toContain(false);
  });

  it('is not called by the work of other namespaces and types', async () => {
    const { client } = await start();
    const stream = client.stream(POOL);
    await waitFor(() => stream.states.length === 1, { describe: 'the state at the opening' });
    await accept(5, { namespace: 'elsewhere' });
    await accept(5, { type: 'unserved' });
    expect(await client.isActive(POOL)).toEqual({ result: false });
    await accept(1);
    await waitFor(() => stream.states.length > 1, { describe: 'the call for its own work' });
    expect(stream.states).toEqual([false, true]);
    expect(await client.load(POOL)).toBe(1);
  });

  it('ends cleanly at the shutdown, so that KEDA comes back without a back-off', async () => {
    const { scaler, client } = await start();
    const streams = [client.stream(POOL), client.stream(POOL)];
    await waitFor(() => streams.every((stream) => stream.states.length === 1), {
      describe: 'the open streams',
    });
    await scaler.stop();
    await waitFor(() => streams.every((stream) => stream.ended !== undefined), { describe: 'the end' });
    expect(streams.map((stream) => stream.ended)).toEqual(['OK', 'OK']);
  });

  it('ends with a reason when its pool goes', async () => {
    const { client } = await start({ repeatMs: 50 });
    await putPool(ledger.db, { namespace: 'default', name: 'passing', types: ['echo'] }, 'passing');
    const stream = client.stream({ namespace: 'default', pool: 'passing' });
    await waitFor(() => stream.states.length > 0, { describe: 'the state at the opening' });
    await ledger.db.query("delete from pools where name = 'passing'");
    await waitFor(() => stream.ended, { describe: 'the end of the stream' });
    expect(stream.ended).toBe('NOT_FOUND');
    expect(stream.details).toContain('"passing"');
  });
});

describe('the load', () => {
  it('counts what runs and what could, and gives the jobs a pod takes as target', async () => {
    await scale({ jobsPerReplica: 4 });
    const { client } = await start();
    await accept(6);
    const ids = await accept(2);
    const entries = await admitJobs(ledger.db, [{ namespace: 'default', type: 'echo', count: 3 }], {
      dispatch: true,
    });
    const claimed = await ledger.worker().claim(entries.slice(0, 1).map(({ id, lease }) => ({ id, lease })));
    expect(claimed).toHaveLength(1);
    await accept(3, { suspended: true });
    await accept(3, { runAtMs: Date.now() + 3_600_000 });
    await accept(1, { runAtMs: Date.now() + 4_000 });
    expect(ids).toHaveLength(2);
    expect(await client.load(POOL)).toBe(9);
    const { metricSpecs } = await client.getMetricSpec(POOL);
    expect(metricSpecs).toMatchObject([{ metricName: 'longshore-load', targetSizeFloat: 4 }]);
    expect(await readPoolLoads(ledger.db)).toMatchObject([
      { load: 9, active: 1, queued: 7, maxReplicas: 10 },
    ]);
  });

  it('is what runs alone while the pool is paused', async () => {
    await accept(2);
    const entries = await admitJobs(ledger.db, [{ namespace: 'default', type: 'echo', count: 1 }], {
      dispatch: true,
    });
    await ledger.worker().claim(entries.map(({ id, lease }) => ({ id, lease })));
    const { client } = await start();
    expect(await client.load(POOL)).toBe(2);
    await scale({ paused: true });
    expect(await client.load(POOL)).toBe(1);
    expect(await client.isActive(POOL)).toEqual({ result: true });
  });

  it('stops at what the pods take together, however much waits', async () => {
    await scale({ maxReplicas: 2, jobsPerReplica: 3 });
    await accept(50);
    const { client } = await start();
    expect(await client.load(POOL)).toBe(6);
  });

  it('says since when the oldest waits, whatever its priority', async () => {
    const [id = ''] = await accept(1, { priority: -5 });
    await accept(3, { priority: 5 });
    await ledger.db.query("update jobs set run_at = now() - interval '90 seconds' where id = $1", [id]);
    const [pool] = await readPoolLoads(ledger.db, { cap: 2 });
    expect(pool?.oldestWaitingSeconds).toBeGreaterThanOrEqual(90);
    expect(pool?.oldestWaitingSeconds).toBeLessThan(120);
  });
});

describe('work that a limit holds back', () => {
  it('calls for no pods beyond what may run at once', async () => {
    await limit({ maxRunning: 3 });
    await accept(20, { type: 'limited' });
    const { client } = await start();
    expect(await client.load(POOL)).toBe(3);
  });

  it('calls for none while the next start of its type is further off than a pod takes', async () => {
    await limit({ perMinute: 1 });
    await accept(20, { type: 'limited' });
    const { client } = await start();
    expect(await client.load(POOL)).toBe(1);
    await ledger.db.query("update job_types set next_start_at = now() + interval '50 seconds'");
    expect(await client.load(POOL)).toBe(0);
    expect(await client.isActive(POOL)).toEqual({ result: false });
  });

  it('calls for what a provider allows, and for none while it is banned or spent for the day', async () => {
    await limit({ budget: 'somebody' });
    await accept(40, { type: 'limited' });
    const { client } = await start();
    expect(await client.load(POOL)).toBe(40);
    await ledger.worker().takeBudget({ name: 'somebody', perSecond: 3, perDay: 100, maxWaitMs: 1_000 });
    const paced = await client.load(POOL);
    expect(paced).toBeGreaterThanOrEqual(14);
    expect(paced).toBeLessThanOrEqual(16);
    await ledger.db.query('update budgets set used = 100');
    expect(await client.load(POOL)).toBe(0);
    await ledger.db.query("update budgets set used = 0, banned_until = now() + interval '1 hour'");
    expect(await client.load(POOL)).toBe(0);
    await accept(2);
    expect(await client.load(POOL), 'the work of another type of the pool').toBe(2);
  });
});

describe('the server', () => {
  it('answers in every replica alike', async () => {
    const replicas = [await start(), await start()];
    const streams = replicas.map(({ client }) => client.stream(POOL));
    await waitFor(() => streams.every(({ states }) => states.length === 1), { describe: 'both states' });
    await accept(3);
    await waitFor(() => streams.every(({ states }) => states.at(-1) === true), { describe: 'both calls' });
    expect(await Promise.all(replicas.map(({ client }) => client.load(POOL)))).toEqual([3, 3]);
  });

  it('serves thirty pools with streams of their own, calling each for its own work alone', async () => {
    const { scaler, client } = await start();
    const pools = Array.from({ length: 30 }, (_, n) => ({ namespace: `team-${n}`, pool: 'workers' }));
    for (const { namespace, pool } of pools)
      await putPool(ledger.db, { namespace, name: pool, types: ['echo'] }, `secret of ${namespace}`);
    const streams = pools.map((pool) => client.stream(pool));
    await waitFor(() => streams.every(({ states }) => states.length === 1), { describe: 'thirty states' });
    const odd = pools.filter((_, n) => n % 2 === 1);
    const accepted = await Promise.all(odd.map(({ namespace }) => accept(1, { namespace })));
    const isOdd = (n: number) => n % 2 === 1;
    await waitFor(() => streams.every(({ states }, n) => !isOdd(n) || states.length === 2), {
      describe: 'the calls',
    });
    expect(streams.map(({ states }) => states.at(-1))).toEqual(pools.map((_, n) => isOdd(n)));
    for (const [id = ''] of accepted) await settle(ledger.db, id, 'SUCCESS');
    expect(await Promise.all(pools.map((pool) => client.load(pool)))).toEqual(pools.map(() => 0));
    await scaler.stop();
  });

  const bad: [string, string, object, keyof typeof status, string][] = [
    ['no pool', 'IsActive', { namespace: 'default' }, 'INVALID_ARGUMENT', 'metadata.pool'],
    ['a malformed pool', 'IsActive', refTo("x'; --"), 'INVALID_ARGUMENT', 'metadata.pool'],
    ['no namespace', 'GetMetricSpec', { scalerMetadata: { pool: 'x' } }, 'INVALID_ARGUMENT', 'namespace'],
    ['nothing', 'GetMetrics', {}, 'INVALID_ARGUMENT', 'metadata.pool'],
    ['an unknown pool', 'IsActive', refTo('nobody'), 'NOT_FOUND', '"nobody" of namespace "default"'],
    ["another's pool", 'GetMetricSpec', refTo('default', 'elsewhere'), 'NOT_FOUND', '"elsewhere"'],
    ['too long a request', 'IsActive', refTo('x'.repeat(100_000)), 'RESOURCE_EXHAUSTED', ''],
  ];
  it.each(bad)('refuses a question about %s', async (_, method, request, code, details) => {
    const { client } = await start();
    const refusal = expect(client.call(method, request)).rejects;
    await refusal.toMatchObject({ code: status[code], details: expect.stringContaining(details) });
  });

  it('refuses a stream about an unknown pool', async () => {
    const { client } = await start();
    const stream = client.stream({ namespace: 'default', pool: 'nobody' });
    await waitFor(() => stream.ended, { describe: 'the refusal' });
    expect(stream).toMatchObject({ states: [], ended: 'NOT_FOUND' });
    expect(requests).toEqual(['StreamIsActive NOT_FOUND']);
  });

  it('fails rather than guesses while the ledger is away, keeps its streams, and goes on when it is back', async () => {
    const db = connectDatabase({
      url: ledger.url,
      applicationName: 'away',
      maxConnections: 2,
      logger: silentLogger,
    });
    const { client } = await start({ db, repeatMs: 100 });
    const stream = client.stream(POOL);
    await waitFor(() => stream.states.length === 1, { describe: 'the state at the opening' });
    await ledger.db.query('alter function pool_loads rename to pool_loads_away');
    try {
      await expect(client.isActive(POOL)).rejects.toMatchObject({ code: status.UNAVAILABLE });
      await expect(client.load(POOL)).rejects.toMatchObject({ code: status.UNAVAILABLE });
      await accept(1);
    } finally {
      await ledger.db.query('alter function pool_loads_away rename to pool_loads');
    }
    await waitFor(() => stream.states.includes(true), { describe: 'the call once the ledger is back' });
    expect(stream.ended).toBeUndefined();
    closers.unshift(() => db.end());
  });
});

describe('with TLS', () => {
  const folder = mkdtempSync(join(tmpdir(), 'longshore-scaler-'));
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });

  beforeAll(() => {
    const days = ['-days', '2', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    const server = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    openssl('req', '-x509', ...days, ...server, '-keyout', 'tls.key', '-out', 'tls.crt');
    openssl('req', '-x509', ...days, '-subj', '/CN=keda', '-keyout', 'keda.key', '-out', 'keda.crt');
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  const read = (name: string) => readFileSync(file(name));
  const connect = (port: number, how: Parameters<typeof credentials.createSsl>) => {
    const client = new ScalerClient(port, credentials.createSsl(...how));
    closers.push(() => client.close());
    return client;
  };

  it('answers whoever trusts its certificate, and nobody in the clear', async () => {
    const { scaler, client } = await start({ tls: { cert: file('tls.crt'), key: file('tls.key') } });
    expect(await connect(scaler.port, [read('tls.crt')]).isActive(POOL)).toEqual({ result: false });
    await expect(client.isActive(POOL)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await expect(connect(scaler.port, [read('keda.crt')]).isActive(POOL)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
    });
  });

  it('takes up a certificate that was renewed', async () => {
    const tls = { cert: file('renewed.crt'), key: file('renewed.key') };
    copyFileSync(file('tls.crt'), tls.cert);
    copyFileSync(file('tls.key'), tls.key);
    const { scaler } = await start({ tls, certificateMs: 50 });
    const before = connect(scaler.port, [read('tls.crt')]).stream(POOL);
    await waitFor(() => before.states.length === 1, { describe: 'the open stream' });
    const days = ['-days', '2', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    const server = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    openssl('req', '-x509', ...days, ...server, '-keyout', 'next.key', '-out', 'next.crt');
    renameSync(file('next.key'), tls.key);
    renameSync(file('next.crt'), tls.cert);
    const renewed = connect(scaler.port, [read('renewed.crt')]);
    await waitFor(() => renewed.isActive(POOL).catch(() => null), { describe: 'the new certificate' });
    expect(before.ended).toBe('OK');
  });

  it('with an authority for clients answers those alone that it vouches for', async () => {
    const tls = { cert: file('tls.crt'), key: file('tls.key'), ca: file('keda.crt') };
    const { scaler } = await start({ tls });
    const known = connect(scaler.port, [read('tls.crt'), read('keda.key'), read('keda.crt')]);
    expect(await known.isActive(POOL)).toEqual({ result: false });
    await expect(connect(scaler.port, [read('tls.crt')]).isActive(POOL)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
    });
  });
});

function refTo(pool: string, namespace = 'default'): object {
  return { name: 'x', namespace, scalerMetadata: { pool } };
}
