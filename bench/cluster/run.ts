/**
 * What Longshore does in a cluster, in figures: installs it, measures, prints a table and writes
 * bench/results/cluster.json after each measurement. Takes everything away again at the end, and after Ctrl-C.
 *
 *   node bench/cluster/run.ts [NAME...]   all, or some, in the order given; --list tells their names
 *
 * BENCH_KEEP=1 leaves release and pool for a next run. CONTEXT, IMAGE and API_URL as in `make e2e`.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { type Installation, install } from '../../hack/cluster/installation.ts';
import { findK6 } from '../../hack/k6.ts';
import { createTable } from '../../src/cli/table.ts';
import { ROOT } from '../support.ts';
import { Bench, type Measurement, type Row } from './bench.ts';
import { burst, etcd } from './measurements/burst.ts';
import { cleanStop, crash } from './measurements/failover.ts';
import { firstJob, wake } from './measurements/from-zero.ts';
import { MemoryWatch, memoryMeasurement } from './measurements/memory.ts';
import { scaleIns } from './measurements/scale-ins.ts';
import { rivals, thousand } from './measurements/thousand.ts';
import { throughput, writes } from './measurements/throughput.ts';
import { warmLatency } from './measurements/warm-latency.ts';

const RESULT = join(ROOT, 'bench/results/cluster.json');

interface Outcome {
  name: string;
  startedAt: string;
  seconds: number;
  rows: Row[];
  /** Why there are none. */
  failure?: string;
}

let memoryWatch: MemoryWatch | undefined;
const memory = memoryMeasurement(() => {
  if (memoryWatch === undefined) throw new Error('Nobody watches the memory');
  return memoryWatch;
});
const MEASUREMENTS: readonly Measurement[] = [
  ...[throughput, writes, burst, warmLatency, wake, firstJob, thousand, rivals, scaleIns],
  ...[crash, cleanStop, memory, etcd],
];

const stopping = new AbortController();
// A second Ctrl-C ends at once.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stopping.abort());

if (process.argv.includes('--list')) {
  for (const { name, about } of MEASUREMENTS) console.log(`${name.padEnd(14)}${about}`);
} else process.exitCode = await main(choose(process.argv.slice(2)));

function choose(names: readonly string[]): readonly Measurement[] {
  if (names.length === 0) return MEASUREMENTS;
  return names.map((name) => {
    const found = MEASUREMENTS.find((measurement) => measurement.name === name);
    if (found !== undefined) return found;
    throw new Error(
      `There is no measurement "${name}"; there are ${MEASUREMENTS.map((m) => m.name).join(', ')}`,
    );
  });
}

async function main(chosen: readonly Measurement[]): Promise<number> {
  let installed: Installation | undefined;
  const outcomes: Outcome[] = [];
  try {
    // Where it has to be built that must not happen while something is measured.
    await findK6();
    installed = await install({
      name: 'bench',
      // A key of people is limited to what people need.
      values: { 'config.LONGSHORE_KEY_RATE_PER_SECOND': 100_000, 'config.LONGSHORE_KEY_BURST': 100_000 },
      onStep: (what) => process.stderr.write(`${what}\n`),
    });
    await measureAll(installed, chosen, outcomes);
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    if (installed !== undefined && process.env.BENCH_KEEP !== '1') installed.remove();
  }
  if (stopping.signal.aborted) return 130;
  print(outcomes);
  const isFine = outcomes.every(
    ({ rows, failure }) => failure === undefined && rows.every(({ met }) => met !== false),
  );
  return isFine ? 0 : 1;
}

async function measureAll(
  installed: Installation,
  chosen: readonly Measurement[],
  outcomes: Outcome[],
): Promise<void> {
  const bench = new Bench(installed, stopping.signal);
  const watch = new MemoryWatch(bench);
  memoryWatch = watch;
  const about = await describeRun(bench);
  try {
    for (const measurement of chosen) {
      stopping.signal.throwIfAborted();
      outcomes.push(await measure(bench, measurement));
      write({ ...about, measurements: outcomes });
    }
  } finally {
    await watch.end();
    await bench.close();
  }
}

/** One that fails does not take the others with it. */
async function measure(bench: Bench, { name, about, run }: Measurement): Promise<Outcome> {
  process.stderr.write(`${name}: ${about}\n`);
  const [startedAt, begin] = [new Date().toISOString(), performance.now()];
  const end = () => Math.round((performance.now() - begin) / 1_000);
  try {
    const rows = await run(bench);
    for (const { what, measured } of rows) bench.note(`${what}: ${measured}`);
    return { name, startedAt, seconds: end(), rows };
  } catch (error) {
    stopping.signal.throwIfAborted();
    const failure = error instanceof Error ? error.message : String(error);
    bench.note(styleText('red', failure));
    return { name, startedAt, seconds: end(), rows: [], failure };
  }
}

async function describeRun({ kube, installed }: Bench): Promise<object> {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
  const version = await kube.request<{ gitVersion: string }>({ method: 'GET', path: '/version' });
  return {
    commit: git('rev-parse', 'HEAD'),
    changed: git('status', '--porcelain') !== '',
    date: new Date().toISOString(),
    machine: { processors: cpus().length, model: cpus()[0]?.model, memoryBytes: totalmem() },
    cluster: { engine: installed.target.engine, kubernetes: version.gitVersion },
    node: process.version,
  };
}

function write(result: object): void {
  mkdirSync(join(ROOT, 'bench/results'), { recursive: true });
  writeFileSync(RESULT, `${JSON.stringify(result, null, 2)}\n`);
}

function print(outcomes: readonly Outcome[]): void {
  const table = createTable(['WHAT', 'TARGET', 'MEASURED', '']);
  for (const { name, rows, failure } of outcomes) {
    if (failure !== undefined) table.push([name, '', failure.slice(0, 120), styleText('red', 'failed')]);
    for (const { what, target, measured, met } of rows) {
      const verdict = met === null ? '' : met ? styleText('green', 'met') : styleText('red', 'missed');
      table.push([what, target, measured, verdict]);
    }
  }
  console.log(`${table.toString()}\n${RESULT}`);
}
