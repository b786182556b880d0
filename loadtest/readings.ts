/**
 * Load tests of meter readings; `node loadtest/run.ts readings|readings-knee|readings-replicas|readings-csv` comes here.
 * Each starts a Longshore of its own, judges what came out against what was acknowledged, and prints a table.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  createReadStream,
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { report } from '../bench/support.ts';
import { findK6 } from '../hack/k6.ts';
import { startNginx } from '../hack/services/nginx.ts';
import { CLI, runCli } from '../hack/stack/run-cli.ts';
import { type Stack, startStack } from '../hack/stack/stack.ts';
import { compareInserts } from './compare-inserts.ts';
import { drawKnee, type KneePoint } from './draw-knee.ts';
import { measureReads } from './measure-reads.ts';
import { MemorySampler } from './memory-sampler.ts';

const ROOT = resolve(import.meta.dirname, '..');
const METERS = 100_000;
const JUDGE_TIMEOUT_MS = 300_000;

export interface ReadingsOptions {
  rate?: string | undefined;
  seconds?: string | undefined;
}

interface World {
  stack: Stack;
  ledger: pg.Client;
  dataDir: string;
}

type Figures = Record<string, string | number>;

interface Outcome {
  figures: Figures;
  /** What was promised and not kept, in words. */
  broken?: string[];
  /** k6's own. Defaults to 0. */
  exitCode?: number;
}

const MODES: Record<string, (world: World, options: ReadingsOptions) => Promise<Outcome>> = {
  readings: measureRate,
  'readings-knee': findKnee,
  'readings-replicas': crashReplicas,
  'readings-csv': importFile,
};

export const READINGS_MODES = Object.keys(MODES);

/** Runs a mode; answers the exit code: 1 when something was lost, else k6's, 99 when a threshold was missed. */
export async function runReadings(mode: string, options: ReadingsOptions): Promise<number> {
  const dataDir = mkdtempSync(join(tmpdir(), 'longshore-load-'));
  chmodSync(dataDir, 0o755);
  let stack: Stack | undefined;
  try {
    stack = await startStack({
      dataDir,
      auth: 'keys',
      replicas: { api: mode === 'readings-replicas' ? 5 : 1 },
      env: {
        LONGSHORE_KEY_RATE_PER_SECOND: '100000',
        LONGSHORE_KEY_BURST: '100000',
        LONGSHORE_LOG_LEVEL: 'warn',
      },
    });
    const ledger = new pg.Client({ connectionString: stack.postgresUrl });
    ledger.on('error', () => {});
    await ledger.connect();
    const env = { LONGSHORE_POSTGRES_URL: stack.postgresUrl };
    await runCli(['readings', 'seed', '--customers', String(METERS)], env, AbortSignal.timeout(120_000));
    await ledger.query('analyze');
    const { figures, broken, exitCode } = await stack.during(
      (MODES[mode] as (typeof MODES)[string])({ stack, ledger, dataDir }, options),
    );
    await ledger.end();
    report(mode, figures, 'loadtest');
    for (const what of broken ?? []) console.error(`The load test failed: ${what}`);
    return broken?.length ? 1 : (exitCode ?? 0);
  } catch (error) {
    console.error(`The load test failed: ${error instanceof Error ? error.message : error}`);
    return 1;
  } finally {
    await stack?.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

interface Summary {
  exitCode: number;
  acknowledged: number;
  failed: number;
  dropped: number;
  p99: number;
  max: number;
  cut: number;
  otherErrors: number;
}

/** A day of last month's window: whatever today is, its readings are judged alike. */
function readAt(): string {
  const date = new Date();
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - 1, 20, 18)).toISOString();
}

let rounds = 0;

/** Where the values of a run begin: each reads on from where the one before must have ended. */
const base = (): number => rounds * 20;

async function runK6(world: World, env: Record<string, string>): Promise<Summary> {
  const file = join(world.dataDir, 'k6.json');
  rounds += 1;
  const driver = spawn(
    await findK6(),
    ['run', '--quiet', '--summary-export', file, join(ROOT, 'loadtest/readings.js')],
    {
      stdio: 'inherit',
      env: {
        ...process.env,
        API_URL: world.stack.apiUrl,
        API_KEY: world.stack.apiKey ?? '',
        METERS: String(METERS),
        READ_AT: readAt(),
        RUN: String(Date.now()),
        BASE: String(base()),
        ...env,
      },
    },
  );
  const [exitCode] = (await once(driver, 'exit')) as [number | null];
  const { metrics } = JSON.parse(readFileSync(file, 'utf8')) as {
    metrics: Record<string, Record<string, number>>;
  };
  return {
    exitCode: exitCode ?? 1,
    acknowledged: metrics.acknowledged?.count ?? 0,
    failed: metrics.checks?.fails ?? 0,
    dropped: metrics.dropped_iterations?.count ?? 0,
    p99: metrics.http_req_duration?.['p(99)'] ?? 0,
    max: metrics.http_req_duration?.max ?? 0,
    cut: metrics.cut_connections?.count ?? 0,
    otherErrors: metrics.other_errors?.count ?? 0,
  };
}

async function countUnjudged({ ledger }: World): Promise<number> {
  const { rows } = await ledger.query(
    `select count(*)::integer as received from longshore.meter_readings where status = 'RECEIVED'`,
  );
  return rows[0].received;
}

interface Stored {
  /** More than one reading of a meter with the value that was sent once. */
  twins: number;
  /** Distinct ones. */
  stored: number;
}

/** What is stored of the last run of k6: each value of a meter is sent once, and those of each run are its own. */
async function countStored({ ledger }: World): Promise<Stored> {
  const { rows } = await ledger.query(
    `select count(*)::integer as stored, coalesce(sum(n - 1), 0)::integer as twins
      from (select count(*) as n from longshore.meter_readings where value >= $1 group by meter_id, value) as sent`,
    [base()],
  );
  return rows[0];
}

/** What is in the table of every such run, and what of it must not be. */
function judge(acknowledged: number, { stored, twins }: Stored): { figures: Figures; broken: string[] } {
  const lost = Math.max(0, acknowledged - stored);
  return {
    figures: {
      acknowledged,
      stored,
      lost,
      'stored but not acknowledged': Math.max(0, stored - acknowledged),
      twins,
    },
    broken: [
      ...(lost > 0 ? [`${lost} acknowledged readings are not stored`] : []),
      ...(twins > 0 ? [`${twins} readings are stored more than once`] : []),
    ],
  };
}

/** Seconds until every reading is judged. */
async function untilJudged(world: World): Promise<number> {
  const startedAtMs = performance.now();
  while ((await countUnjudged(world)) > 0) {
    if (performance.now() - startedAtMs > JUDGE_TIMEOUT_MS)
      throw new Error('The readings were not judged in time');
    await sleep(200);
  }
  return (performance.now() - startedAtMs) / 1_000;
}

/** Ten seconds, not measured: a process that has just started compiles while it works. */
async function warmUp(world: World): Promise<void> {
  await runK6(world, { RATE: '300', SECONDS: '10' });
  await untilJudged(world);
}

async function measureRate(
  world: World,
  { rate = '1000', seconds = '60' }: ReadingsOptions,
): Promise<Outcome> {
  await warmUp(world);
  const sampler = new MemorySampler(world.stack);
  const k6 = await runK6(world, { RATE: rate, SECONDS: seconds });
  const judged = await untilJudged(world);
  const { figures, broken } = judge(k6.acknowledged, await countStored(world));
  const { rows } = await world.ledger.query(
    `select count(*)::integer as jobs from longshore.jobs where type = 'meter-readings' and status = 'SUCCESS'`,
  );
  const inserts = await compareInserts(world.stack.postgresUrl);
  return {
    figures: {
      rate: `${rate}/s for ${seconds} s`,
      ...figures,
      'errors, dropped': `${k6.failed}, ${k6.dropped}`,
      p99: `${k6.p99.toFixed(1)} ms`,
      max: `${k6.max.toFixed(1)} ms`,
      'all judged after the end': `${judged.toFixed(1)} s`,
      'jobs in all': rows[0].jobs,
      ...memoryOf(sampler),
      ...inserts,
    },
    broken,
    exitCode: k6.exitCode,
  };
}

async function findKnee(world: World, { rate = '1500', seconds = '60' }: ReadingsOptions): Promise<Outcome> {
  await warmUp(world);
  const points: KneePoint[] = [];
  for (let tried = Number(rate); ; tried += 250) {
    const k6 = await runK6(world, { RATE: String(tried), SECONDS: seconds });
    points.push({ rate: tried, p99: k6.p99, errors: k6.failed + k6.dropped });
    await untilJudged(world);
    if (k6.failed + k6.dropped > 0 || tried >= 6_000) break;
  }
  const file = join(ROOT, 'loadtest/results/readings-knee.svg');
  mkdirSync(join(ROOT, 'loadtest/results'), { recursive: true });
  writeFileSync(file, drawKnee(points));
  const held = points.filter(({ errors }) => errors === 0).at(-1)?.rate ?? 0;
  return {
    figures: {
      'highest rate without error': `${held}/s for ${seconds} s`,
      plot: file,
      ...Object.fromEntries(
        points.map(({ rate: at, p99, errors }) => [
          `${at}/s`,
          `p99 ${p99.toFixed(1)} ms, errors and dropped ${errors}`,
        ]),
      ),
    },
  };
}

const CRASH_INTERVAL_MS = 10_000;

async function crashReplicas(
  world: World,
  { rate = '1000', seconds = '60' }: ReadingsOptions,
): Promise<Outcome> {
  const { stack, dataDir } = world;
  const nginx = await startNginx({ dataDir: join(dataDir, 'nginx'), targets: stack.apiUrls });
  try {
    const behind = { ...world, stack: { ...stack, apiUrl: nginx.url } };
    await warmUp(behind);
    const ending = new AbortController();
    const crashes = crashOneAfterAnother(stack, ending.signal);
    const k6 = await runK6(behind, { RATE: rate, SECONDS: seconds, RETRIES: '30' });
    ending.abort();
    const crashed = await crashes;
    const judged = await untilJudged(world);
    const { figures, broken } = judge(k6.acknowledged, await countStored(world));
    if (k6.otherErrors > 0) broken.push(`${k6.otherErrors} errors were not cut connections`);
    return {
      figures: {
        rate: `${rate}/s for ${seconds} s, five replicas behind nginx`,
        'replicas killed': crashed,
        ...figures,
        'not acknowledged in the end': k6.failed,
        'dropped by k6': k6.dropped,
        'connections cut, sent again': k6.cut,
        'other errors': k6.otherErrors,
        p99: `${k6.p99.toFixed(1)} ms`,
        'all judged after the end': `${judged.toFixed(1)} s`,
      },
      broken,
      exitCode: k6.exitCode,
    };
  } finally {
    await nginx.stop();
  }
}

async function crashOneAfterAnother(stack: Stack, signal: AbortSignal): Promise<number> {
  for (let crashed = 0; ; crashed += 1) {
    await sleep(CRASH_INTERVAL_MS, undefined, { signal }).catch(() => {});
    if (signal.aborted) return crashed;
    await stack.crash(`api-${(crashed % 5) + 1}`);
  }
}

const ROWS = 1_000_000;

async function importFile(world: World): Promise<Outcome> {
  const { stack, dataDir } = world;
  const day = readAt().slice(0, 10);
  const file = join(dataDir, 'million.csv');
  await writeRows(file, day, 0);
  const env = { LONGSHORE_POSTGRES_URL: stack.postgresUrl, LONGSHORE_LOG_LEVEL: 'warn' };
  const startedAtMs = performance.now();
  const printed = await runImport(file, env);
  const seconds = (performance.now() - startedAtMs) / 1_000;
  const judged = await untilJudged(world);
  await writeRows(file, day, 100);
  const sampler = new MemorySampler(stack);
  const restAtMs = performance.now();
  const answer = await fetch(`${stack.apiUrl}/v1/meter-reading-imports/million.csv`, {
    method: 'PUT',
    body: Readable.toWeb(createReadStream(file)) as ReadableStream,
    duplex: 'half',
    headers: { 'content-type': 'text/csv', authorization: `Bearer ${stack.apiKey}` },
  } as RequestInit);
  const imported = (await answer.json()) as { stored: number };
  const restSeconds = (performance.now() - restAtMs) / 1_000;
  const memory = memoryOf(sampler);
  await untilJudged(world);
  return {
    figures: {
      rows: ROWS,
      bytes: statSync(file).size,
      'command line': `${seconds.toFixed(1)} s`,
      printed,
      'all judged after that': `${judged.toFixed(1)} s`,
      'over REST': `${restSeconds.toFixed(1)} s, ${imported.stored} stored`,
      ...memory,
      ...(await measureReads(stack, { meters: METERS, month: day.slice(0, 7) })),
    },
  };
}

/** The command line's own import; answers what it printed. */
async function runImport(file: string, env: Record<string, string>): Promise<string> {
  const child = spawn(process.execPath, [CLI, 'readings', 'import', 'readings', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  const [printed, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  if (code !== 0) throw new Error(`The import ended with ${code}: ${printed}`);
  return printed.trim();
}

/** Ten readings of each meter with one register. */
async function writeRows(file: string, day: string, base: number): Promise<void> {
  const out = createWriteStream(file);
  out.write('meterId,value,readAt\n');
  const ofOne = (METERS * 3) / 4;
  for (let n = 0; n < ROWS; n += 1_000) {
    const rows = Array.from({ length: 1_000 }, (_, m) => {
      const meter = ((n + m) % ofOne) + 1;
      return `METER-${meter + Math.floor(meter / 3)},${base + Math.floor((n + m) / ofOne)},${day}\n`;
    });
    if (!out.write(rows.join(''))) await once(out, 'drain');
  }
  out.end();
  await once(out, 'close');
}

function memoryOf(sampler: MemorySampler): Figures {
  return Object.fromEntries(
    Object.entries(sampler.stop()).map(([name, bytes]) => [
      `memory ${name}, at most`,
      `${(bytes / 1e6).toFixed(0)} MB`,
    ]),
  );
}
