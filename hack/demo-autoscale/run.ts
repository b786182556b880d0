/**
 * Longshore in a cluster under a load that rises and falls: pools that KEDA scales from zero and back, shown as they do
 * it, and drawn into demo-autoscale.svg. Takes everything away again at the end, and after Ctrl-C.
 *
 *   node hack/demo-autoscale/run.ts
 *
 * DEMO_SECONDS  how long k6 submits (180)
 * DEMO_KEEP=1   leaves release and pools in the cluster
 * CONTEXT, IMAGE  a cluster of yours, and a repository that it pulls from; API_URL where its API is reached
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';
import { readManifests } from '../../test/e2e/support/kubectl.ts';
import { PROVIDER_POD, providerManifests, providerUrl } from '../../test/e2e/support/provider-pod.ts';
import { type Installation, install } from '../cluster/installation.ts';
import { JobsApi } from '../cluster/job-listing.ts';
import { findK6 } from '../k6.ts';
import { type K6Summary, runK6 } from '../k6-run.ts';
import { renderChart } from './chart.ts';
import { LiveView } from './live-view.ts';
import { type DemoPool, demoPools, PHASES, PROVIDER_RATE, toScenarios } from './plan.ts';
import { type DemoResult, findProblems, toChart } from './result.ts';
import { PoolWatcher } from './watcher.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PICTURE = join(ROOT, 'demo-autoscale.svg');
const LOAD_SECONDS = Number(process.env.DEMO_SECONDS ?? 180);
/** For the queue to empty after the load, and then for the pods to go. */
const DRAIN_MS = 180_000;
const LEAVE_MS = 120_000;

const stopping = new AbortController();
const { signal } = stopping;
// A second Ctrl-C ends at once.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stopping.abort());
const say = (line: string) => console.log(line);

let installed: Installation | undefined;
try {
  if (!(LOAD_SECONDS >= 20)) throw new Error('DEMO_SECONDS must be a number of at least 20');
  await findK6();
  installed = await install({
    name: 'demo',
    values: {
      'config.LONGSHORE_ETHERSCAN_URL': `${providerUrl('longshore-demo-jobs', 'etherscan')}/v2/api`,
      'config.LONGSHORE_ETHERSCAN_CALLS_PER_SECOND': PROVIDER_RATE,
    },
    onStep: say,
  });
  signal.throwIfAborted();
  process.exitCode = await demo(installed);
} catch (error) {
  // A Ctrl-C ended the program that was waited for; this one hears of it when it comes to rest.
  await sleep(10);
  if (signal.aborted) process.exitCode = 130;
  else {
    console.error(styleText('red', `The demo failed: ${error instanceof Error ? error.message : error}`));
    process.exitCode = 1;
  }
} finally {
  if (installed !== undefined) leave(installed);
}

async function demo(here: Installation): Promise<number> {
  const pools = demoPools(here, greetType());
  await raise(here, pools);
  const watcher = new PoolWatcher(here, new Map(pools.map(({ name, type }) => [name, type])));
  try {
    const result = await load(here, pools, watcher);
    writeFileSync(PICTURE, renderChart(toChart(result)));
    return conclude(result);
  } finally {
    await watcher.close();
  }
}

/** Pools, and the stand-in for a provider, in place and at rest. */
async function raise({ kubectl, image }: Installation, pools: readonly DemoPool[]): Promise<void> {
  say('Making the pools');
  const apiVersion = 'longshore.dev/v1alpha1';
  await kubectl.apply(
    ...providerManifests(image),
    ...pools.map(({ name, spec }) => ({ apiVersion, kind: 'WorkerPool', metadata: { name }, spec })),
  );
  await kubectl.waitFor('condition=Ready', `pod/${PROVIDER_POD}`, 90);
  for (const { name } of pools) {
    await kubectl.waitFor('condition=Ready', `workerpool/${name}`, 60);
    await kubectl.waitFor('condition=ScalerReady', `workerpool/${name}`, 60);
    signal.throwIfAborted();
  }
}

async function load(
  here: Installation,
  pools: readonly DemoPool[],
  watcher: PoolWatcher,
): Promise<DemoResult> {
  const api = new JobsApi(here);
  const view = new LiveView(watcher, pools, LOAD_SECONDS);
  const watching = new AbortController();
  const watched = watcher.watch(AbortSignal.any([signal, watching.signal]), () => view.draw());
  const beganMs = Date.now();
  try {
    const k6 = await runK6(join(import.meta.dirname, 'load.js'), k6Environment(here, pools), signal);
    view.phase = 'the queue empties';
    await until(() => api.isBusy().then((busy) => !busy), DRAIN_MS);
    view.phase = 'the pods leave';
    await until(async () => pools.every(({ name }) => isGone(watcher, name)), LEAVE_MS);
    return await collect(api, { pools, watcher, k6, beganMs });
  } finally {
    watching.abort();
    await watched;
  }
}

function k6Environment({ url, token }: Installation, pools: readonly DemoPool[]): Record<string, string> {
  const plan = JSON.stringify(toScenarios(pools, LOAD_SECONDS));
  return { API_URL: url, API_KEY: token, RUN: String(Math.floor(Date.now() / 1_000)), PLAN: plan };
}

function isGone(watcher: PoolWatcher, pool: string): boolean {
  const last = watcher.samplesOf(pool).at(-1);
  return last !== undefined && last.wanted === 0 && last.ready === 0;
}

/** Waits, but not for ever: what has not come by then is seen in the picture. */
async function until(isDone: () => Promise<boolean>, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline && !(await isDone().catch(() => false)))
    await sleep(500, undefined, { signal });
}

async function collect(
  api: JobsApi,
  run: { pools: readonly DemoPool[]; watcher: PoolWatcher; k6: K6Summary; beganMs: number },
): Promise<DemoResult> {
  const jobs = await api.jobsSince(run.beganMs);
  const startMs = jobs.reduce((least, { createdAt }) => Math.min(least, Date.parse(createdAt)), Date.now());
  const byType = Map.groupBy(jobs, ({ type }) => type);
  const first = PHASES.map(({ name, until: share }) => ({ name, untilSeconds: share * LOAD_SECONDS }));
  return {
    pools: run.pools.map((pool) => ({
      pool,
      samples: run.watcher.samplesOf(pool.name),
      jobs: byType.get(pool.type) ?? [],
    })),
    k6: run.k6,
    startMs,
    endMs: Date.now(),
    phases: first,
    subtitle: subtitle(),
  };
}

function subtitle(): string {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: ROOT,
    encoding: 'utf8',
  }).trim();
  const machine = `${cpus().length} processors (${cpus()[0]?.model.trim()})`;
  const cluster =
    installed?.target.engine === 'named' ? 'a cluster' : `a ${installed?.target.engine} cluster`;
  const when = new Date().toISOString().slice(0, 16).replace('T', ' ');
  return `Longshore ${commit} on ${cluster}, all of it and k6 on ${machine} · scaled by KEDA and Longshore’s push scaler · ${when} UTC`;
}

function conclude(result: DemoResult): number {
  const problems = findProblems(result);
  const { figures } = toChart(result);
  say('');
  for (const { label, value } of figures) say(`  ${label.padEnd(34)}${value}`);
  say(`\n  Picture   ${PICTURE}\n`);
  for (const problem of problems) console.error(styleText('red', problem));
  if (problems.length === 0) say(styleText('green', 'Every accepted job ended in SUCCESS'));
  return problems.length === 0 ? 0 : 1;
}

function leave(here: Installation): void {
  if (process.env.DEMO_KEEP === '1') {
    say(`Kept: export KUBECONFIG=${here.target.kubeconfig}; kubectl --namespace ${here.namespace} get wp,qj`);
    return;
  }
  say('Taking everything away');
  here.remove();
}

/** As the example declares it. */
function greetType(): object {
  const [pool] = readManifests(readFileSync(join(ROOT, 'examples/custom-worker/pool.yaml'), 'utf8'));
  const [greet] = (pool as { spec: { types: object[] } }).spec.types;
  if (greet === undefined) throw new Error('examples/custom-worker/pool.yaml has no type');
  return greet;
}
