/**
 * Runs a load test against Longshore on this machine: `node loadtest/run.ts contracts|knee|poll|images|rates [--rate N] [--seconds N]`.
 * Starts everything, drives it with k6, waits until every accepted job has ended, prints a table and writes it as JSON.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, setPriority, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import pg from 'pg';
import { findK6 } from '../hack/k6.ts';
import { type Stack, startStack } from '../hack/stack/stack.ts';
import { runWrk, runWrkOnBareExpress } from '../hack/wrk.ts';
import { createTable } from '../src/cli/table.ts';
import { MemorySampler } from './memory-sampler.ts';
import { PAIRS_EACH, readGaps, trackPairs } from './rates.ts';
import { READINGS_MODES, runReadings } from './readings.ts';

const ROOT = resolve(import.meta.dirname, '..');

interface Scenario {
  script: string;
  env: Record<string, string>;
  /** Settings of the processes. */
  settings?: Record<string, string>;
  /** No worker takes jobs. */
  idle?: boolean;
  /** Further stand-ins for providers, by the variable that says where they are. */
  providers?: Record<string, string>;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rate: { type: 'string' }, seconds: { type: 'string' }, scale: { type: 'string', default: '1' } },
});
const name = positionals[0] ?? 'contracts';
const SCENARIOS: Record<string, Scenario> = {
  contracts: {
    script: 'contracts.js',
    env: { RATE: values.rate ?? '1000', SECONDS: values.seconds ?? '60' },
  },
  knee: {
    script: 'jobs.js',
    env: { RATE: values.rate ?? '2000', SECONDS: values.seconds ?? '60' },
    idle: true,
  },
  poll: {
    script: 'jobs.js',
    env: { RATE: values.rate ?? '900', SECONDS: values.seconds ?? '60', POLLED: '100' },
  },
  images: { script: 'images.js', env: { SCALE: values.scale } },
  rates: {
    script: 'rates.js',
    env: { SECONDS: values.seconds ?? '60', PAIRS: String(PAIRS_EACH) },
    settings: { LONGSHORE_COINGECKO_CALLS_PER_MONTH: '0', LONGSHORE_MAX_IN_FLIGHT: '2000' },
    providers: {
      LONGSHORE_BINANCE_URL: 'test/support/fake-binance.ts',
      LONGSHORE_COINGECKO_URL: 'test/support/fake-coingecko.ts',
    },
  },
};
if (READINGS_MODES.includes(name)) process.exit(await runReadings(name, values));
const scenario = SCENARIOS[name];
if (scenario === undefined)
  throw new Error(
    `There is no load test "${name}"; there are ${[...Object.keys(SCENARIOS), ...READINGS_MODES].join(', ')}`,
  );

const WRK_SECONDS = 20;
/** Everything has to end by then. */
const DRAIN_TIMEOUT_MS = 300_000;

const dataDir = mkdtempSync(join(tmpdir(), 'longshore-load-'));
const SUMMARY = join(dataDir, 'k6.json');
chmodSync(dataDir, 0o755);
const k6 = await findK6();
const standIns: ChildProcess[] = [];
let stack: Stack | undefined;
let driver: ChildProcess | undefined;
try {
  const providers: Record<string, string> = { LONGSHORE_ETHERSCAN_URL: '' };
  for (const [variable, file] of Object.entries({
    LONGSHORE_ETHERSCAN_URL: 'test/support/fake-etherscan.ts',
    ...scenario.providers,
  }))
    providers[variable] = await startProvider(file);
  stack = await startStack({
    dataDir,
    auth: 'keys',
    replicas: { worker: scenario.idle ? 0 : 1 },
    env: {
      ...providers,
      LONGSHORE_ETHERSCAN_API_KEY: 'stand-in',
      LONGSHORE_ETHERSCAN_CALLS_PER_SECOND: '0',
      LONGSHORE_ETHERSCAN_CALLS_PER_DAY: '0',
      LONGSHORE_KEY_RATE_PER_SECOND: '100000',
      LONGSHORE_KEY_BURST: '100000',
      LONGSHORE_WORKER_CONCURRENCY: name === 'images' ? '2' : '50',
      LONGSHORE_LOG_LEVEL: name === 'images' ? 'info' : 'warn',
      ...scenario.settings,
    },
  });
  process.exitCode = await stack.during(measure(stack, scenario));
} catch (error) {
  console.error(`The load test failed: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  driver?.kill();
  await stack?.stop();
  for (const standIn of standIns) standIn.kill();
  rmSync(dataDir, { recursive: true, force: true });
}

/** A stand-in, as a process of its own, as the real provider is. Answers its URL. */
async function startProvider(file: string): Promise<string> {
  const args = file.endsWith('fake-etherscan.ts') ? ['--unlimited'] : [];
  const standIn = spawn(process.execPath, [join(ROOT, file), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // Processes of their own, as the real providers are.
  yieldTo(standIn, 10);
  standIns.push(standIn);
  const [line] = (await once(standIn.stdout, 'data')) as [Buffer];
  return line.toString().trim();
}

async function measure(running: Stack, { script, env, idle }: Scenario): Promise<number> {
  const ledger = new pg.Client({ connectionString: running.postgresUrl });
  // Its death is told by the stack; without a listener it would end this process before the others are stopped.
  ledger.on('error', () => {});
  await ledger.connect();
  const sampler = new MemorySampler(running);
  if (name === 'rates') return measureRates(running, ledger, sampler, env);
  // Ten seconds at a fifth of the rate, not measured: a process that has just started compiles while it works.
  if (env.RATE !== undefined) {
    await runK6(running, script, {
      ...env,
      RATE: String(Number(env.RATE) / 5),
      SECONDS: '10',
      POLLED: '0',
      RUN: '1',
    });
    await drained(ledger, idle === true);
  }
  const startedAtMs = Date.now();
  const exitCode = await runK6(running, script, { ...env, RUN: String(Math.floor(startedAtMs / 1_000)) });
  const counts = await drained(ledger, idle === true);
  const totalSeconds = (Date.now() - startedAtMs) / 1_000;
  const { rows } = await ledger.query('select pg_database_size(current_database())::bigint as bytes');
  await ledger.end();
  report({
    exitCode,
    counts,
    totalSeconds,
    databaseBytes: Number(rows[0].bytes),
    memory: { ...sampler.stop(), redis: await redisPeak(running.redisUrl) },
  });
  return exitCode;
}

/** Below 0 is for root alone; others go without. */
function yieldTo({ pid }: ChildProcess, niceness: number): void {
  try {
    if (pid !== undefined) setPriority(pid, niceness);
  } catch {}
}

/** 500 pairs are refreshed while one process is read from as fast as it can, and then by many users. */
async function measureRates(
  running: Stack,
  ledger: pg.Client,
  sampler: MemorySampler,
  env: Record<string, string>,
): Promise<number> {
  await trackPairs(ledger);
  const url = `${running.apiUrl}/v1/rates/C7-USDT`;
  await runWrk(url, running.apiKey, 5);
  const sinceMs = Date.now();
  const wrk = await runWrk(url, running.apiKey, WRK_SECONDS);
  const express = await runWrkOnBareExpress(WRK_SECONDS);
  const exitCode = await runK6(running, 'rates.js', env);
  const gaps = await readGaps(ledger, sinceMs);
  await ledger.end();
  const table = createTable(['what', 'figure']);
  table.push(['GET /v1/rates/{pair}, wrk -t1 -c32', `${wrk.perSecond.toFixed(0)}/s, p99 ${wrk.p99Ms} ms`]);
  table.push(['a bare Express route', `${express.perSecond.toFixed(0)}/s, p99 ${express.p99Ms} ms`]);
  table.push(['ratio to it', (wrk.perSecond / express.perSecond).toFixed(2)]);
  table.push(['pairs refreshed', `${gaps.pairs} in ${gaps.rounds} rounds`]);
  table.push([
    'time between two rates of a pair',
    `median ${gaps.median.toFixed(1)} s, at most ${gaps.longest.toFixed(1)} s`,
  ]);
  console.log(table.toString());
  report({
    exitCode,
    counts: {},
    totalSeconds: (Date.now() - sinceMs) / 1_000,
    databaseBytes: 0,
    memory: sampler.stop(),
    rates: { wrk, express, gaps },
  });
  return exitCode;
}

/** Answers k6's exit code; its figures are in {@link SUMMARY} then. */
async function runK6(running: Stack, script: string, env: Record<string, string>): Promise<number> {
  const args = ['run', '--quiet', '--summary-export', SUMMARY, join(ROOT, 'loadtest', script)];
  driver = spawn(k6, args, {
    stdio: 'inherit',
    env: { ...process.env, ...env, API_URL: running.apiUrl, API_KEY: running.apiKey ?? '' },
  });
  // It stands for machines of their own: users do not become slower because we do.
  yieldTo(driver, -5);
  const [exitCode] = (await once(driver, 'exit')) as [number | null];
  if (exitCode === null) throw new Error('k6 was ended by a signal');
  return exitCode;
}

/** The most memory that Redis had in use, in bytes. */
async function redisPeak(url: string): Promise<number> {
  const redis = new Redis(url);
  try {
    return Number(/^used_memory_peak:(\d+)/m.exec(await redis.info('memory'))?.[1]);
  } finally {
    redis.disconnect();
  }
}

/** Waits until no job is unfinished; answers the jobs by status. */
async function drained(ledger: pg.Client, idle: boolean): Promise<Record<string, number>> {
  const deadline = Date.now() + DRAIN_TIMEOUT_MS;
  for (;;) {
    const { rows } = await ledger.query(
      'select status, count(*)::integer as n from longshore.jobs group by 1',
    );
    const counts = Object.fromEntries(rows.map((row) => [row.status, row.n]));
    if (idle || (counts.CREATED ?? 0) + (counts.PROCESS ?? 0) === 0 || Date.now() > deadline) return counts;
    await sleep(500);
  }
}

interface Report {
  exitCode: number;
  counts: Record<string, number>;
  totalSeconds: number;
  databaseBytes: number;
  memory: Record<string, number>;
  /** Of the load test `rates` alone. */
  rates?: object;
}

function report({ exitCode, counts, totalSeconds, databaseBytes, memory, rates }: Report): void {
  const metrics = (
    JSON.parse(readFileSync(SUMMARY, 'utf8')) as { metrics: Record<string, Record<string, number>> }
  ).metrics;
  const jobs = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const table = createTable(['what', 'figure']);
  for (const [metric, values] of Object.entries(metrics)) {
    if (!/^(http_req_duration|http_reqs|dropped_iterations|checks|http_req_failed)/.test(metric)) continue;
    const shown = Object.entries(values)
      .filter(([, v]) => typeof v === 'number')
      .map(([k, v]) => `${k} ${Number(v.toFixed(2))}`);
    table.push([metric, shown.join('  ')]);
  }
  if (jobs > 0) table.push(['jobs by status', JSON.stringify(counts)]);
  if (jobs > 0) table.push(['from the start until all had ended', `${totalSeconds.toFixed(1)} s`]);
  if (jobs > 0) table.push(['database a job', `${Math.round(databaseBytes / Math.max(1, jobs))} B`]);
  for (const [process, bytes] of Object.entries(memory))
    table.push([`memory ${process}, at most`, `${(bytes / 1e6).toFixed(0)} MB`]);
  console.log(`\n${name}: ${cpus().length} processors (${cpus()[0]?.model}), k6 exit code ${exitCode}`);
  console.log(table.toString());
  mkdirSync(join(ROOT, 'loadtest/results'), { recursive: true });
  const file = join(ROOT, 'loadtest/results', `${name}.json`);
  writeFileSync(
    file,
    `${JSON.stringify({ name, exitCode, counts, totalSeconds, databaseBytes, memory, metrics, rates }, null, 2)}\n`,
  );
}
