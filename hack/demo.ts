/**
 * The demo: Longshore on this machine, real photographs converted, a contract's source loaded.
 *
 *   node hack/demo.ts            runs the jobs and stays up until Ctrl-C; DEMO_ONCE=1 ends after the jobs
 *   node hack/demo.ts --no-jobs  only starts Longshore (what `make dev` does)
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify, styleText } from 'node:util';
import Table from 'cli-table3';
import { KNOWN } from '../test/support/fake-contracts.ts';
import { startFakeEtherscan } from '../test/support/fake-etherscan.ts';
import { startFakeSourcify } from '../test/support/fake-sourcify.ts';
import { findKubeAssets } from './kube/local-apiserver.ts';
import { type Stack, startStack } from './stack/stack.ts';
import { formatLogLine, LiveBlock, levelOf } from './stack/terminal.ts';

const ROOT = resolve(import.meta.dirname, '..');
const DATA_DIR = resolve(process.env.LONGSHORE_DEMO_DIR ?? join(ROOT, '.longshore'));
const RESULTS = join(DATA_DIR, 'demo');
const IMAGES = join(ROOT, 'examples/images');
const ONCE = process.env.DEMO_ONCE === '1';
const KUBERNETES = process.env.LONGSHORE_KUBERNETES === 'apiserver';
const JOB_TIMEOUT_MS = 120_000;
const PREFERRED_PORT = 8080;

/** Verified on Ethereum's main network: wrapped ether. */
const REAL_CONTRACT = '0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2';

const HUES: Record<string, Parameters<typeof styleText>[0]> = {
  SUCCESS: 'green',
  ERROR: 'red',
  CANCELLED: 'yellow',
  PROCESS: 'cyan',
};

interface DemoJob {
  what: string;
  id: string;
  /** File name of the result, without its folder. */
  target: string;
  status: string;
  detail: string;
  startedAtMs: number;
  endedAtMs: number | null;
}

const block = new LiveBlock();
const jobs: DemoJob[] = [];
let stack: Stack | undefined;
const closers: (() => Promise<unknown>)[] = [];
const stopping = new AbortController();
// A second Ctrl-C ends at once: the children die with this process.
process.once('SIGINT', () => stopping.abort());
process.once('SIGTERM', () => stopping.abort());

try {
  process.exitCode = await main();
} catch (error) {
  if (!stopping.signal.aborted) {
    console.error(styleText('red', `The demo failed: ${error instanceof Error ? error.message : error}`));
    process.exitCode = 1;
    // What still waits need not.
    stopping.abort();
  }
} finally {
  await stack?.stop();
  for (const close of closers) await close();
}

async function main(): Promise<number> {
  // The variable means the demo's mode here; the processes get theirs from the stack.
  delete process.env.LONGSHORE_KUBERNETES;
  const provider = await chooseProvider();
  console.log(
    `Starting PostgreSQL, Redis${KUBERNETES ? ', kube-apiserver' : ''} and Longshore; data in ${shown(DATA_DIR)}`,
  );
  stack = await startStack({
    dataDir: DATA_DIR,
    kubernetes: KUBERNETES ? 'apiserver' : 'off',
    preferredPort: PREFERRED_PORT,
    env: provider.env,
    onLine: showLog,
  });
  console.log(`Contracts come from ${provider.name}`);
  return stack.during(show(stack, provider.address));
}

async function show(running: Stack, address: string): Promise<number> {
  if (!process.argv.includes('--no-jobs')) {
    await submitImages(running);
    await submitContract(running, address);
    if (KUBERNETES) await applyExample(running);
    await followJobs(running);
    const failed = summarise();
    if (ONCE) return failed === 0 ? 0 : 1;
  }
  tellWhereToLook(running);
  await sleep(2 ** 31 - 1, undefined, { signal: stopping.signal }).catch(() => {});
  console.log('Stopping');
  return 0;
}

async function chooseProvider(): Promise<{ name: string; address: string; env: Record<string, string> }> {
  if (process.env.ETHERSCAN_API_KEY)
    return { name: 'Etherscan (ETHERSCAN_API_KEY is set)', address: REAL_CONTRACT, env: {} };
  const [etherscan, sourcify] = [
    await startFakeEtherscan({ perSecond: 3, unlimited: true }),
    await startFakeSourcify({}),
  ];
  closers.push(
    () => etherscan.close(),
    () => sourcify.close(),
  );
  return {
    name: 'a stand-in for Etherscan on this machine (set ETHERSCAN_API_KEY for the real one)',
    address: KNOWN.standard,
    env: {
      LONGSHORE_ETHERSCAN_URL: etherscan.url,
      LONGSHORE_ETHERSCAN_API_KEY: 'stand-in',
      LONGSHORE_SOURCIFY_URL: sourcify.url,
    },
  };
}

function showLog(name: string, line: string): void {
  const quiet = ONCE || block.isLive;
  if (quiet && !['warn', 'error'].includes(levelOf(line))) return;
  block.print(formatLogLine(name, line));
  if (jobs.length > 0) block.draw(renderJobs());
}

async function submitImages(api: Stack): Promise<void> {
  const wishes = [
    { format: 'webp', width: '400' },
    { format: 'avif', width: '320' },
    { format: 'jpeg', quality: '70' },
  ];
  for (const file of readdirSync(IMAGES).filter((name) => ['.png', '.jpg'].includes(extname(name)))) {
    for (const wish of wishes) {
      const form = new FormData();
      form.set('file', new Blob([readFileSync(join(IMAGES, file))]), file);
      for (const [name, value] of Object.entries(wish)) form.set(name, value);
      const job = await call(api, '/v1/images', { method: 'POST', body: form });
      const target = `${file.slice(0, -extname(file).length)}.${wish.format === 'jpeg' ? 'jpg' : wish.format}`;
      addJob(`${file} → ${wish.format}`, job, target);
    }
  }
}

async function submitContract(api: Stack, address: string): Promise<void> {
  const job = await call(api, '/v1/contracts', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ address }),
  });
  addJob(`contract ${address.slice(0, 10)}…`, job, 'contract.json');
}

/** The Kubernetes way: the same type by `kubectl apply`. */
async function applyExample(api: Stack): Promise<void> {
  const kubectl = join(await findKubeAssets(), 'kubectl');
  const kubeconfig = api.kubeconfigPath ?? '';
  const file = join(ROOT, 'examples/kubernetes/contract-source.yaml');
  const run = promisify(execFile);
  await run(kubectl, ['--kubeconfig', kubeconfig, 'apply', '-f', file]);
  const read = [
    '--kubeconfig',
    kubeconfig,
    'get',
    '-f',
    file,
    '-o',
    'jsonpath={.metadata.annotations.longshore\\.dev/job-id}',
  ];
  const deadline = AbortSignal.any([AbortSignal.timeout(30_000), stopping.signal]);
  for (;;) {
    const { stdout } = await run(kubectl, read);
    if (stdout !== '') {
      addJob('kubectl apply', await call(api, `/v1/jobs/${stdout}`), 'contract-kubectl.json');
      return;
    }
    await sleep(200, undefined, { signal: deadline });
  }
}

interface JobAnswer {
  id: string;
  status: string;
  error?: { code: string; message: string } | null;
  progress?: { fraction: number } | null;
}

function addJob(what: string, job: JobAnswer, target: string): void {
  jobs.push({
    what,
    id: job.id,
    target,
    status: job.status,
    detail: '',
    startedAtMs: Date.now(),
    endedAtMs: null,
  });
}

async function followJobs(api: Stack): Promise<void> {
  mkdirSync(RESULTS, { recursive: true });
  const deadline = AbortSignal.any([AbortSignal.timeout(JOB_TIMEOUT_MS), stopping.signal]);
  while (jobs.some((job) => job.endedAtMs === null)) {
    for (const job of jobs.filter((candidate) => candidate.endedAtMs === null)) await refresh(api, job);
    block.draw(renderJobs());
    if (jobs.some((job) => job.endedAtMs === null)) await sleep(150, undefined, { signal: deadline });
  }
  if (!block.isLive) console.log(renderJobs().join('\n'));
}

async function refresh(api: Stack, job: DemoJob): Promise<void> {
  const now = await call(api, `/v1/jobs/${job.id}`);
  job.status = now.status;
  if (now.progress) job.detail = `${Math.round(now.progress.fraction * 100)} %`;
  if (!['SUCCESS', 'ERROR', 'CANCELLED'].includes(now.status)) return;
  job.endedAtMs = Date.now();
  if (now.status !== 'SUCCESS') {
    job.detail = now.error ? `${now.error.code}: ${now.error.message}` : '';
    return;
  }
  const answer = await fetch(`${api.apiUrl}/v1/jobs/${job.id}/result`, {
    signal: AbortSignal.timeout(30_000),
  });
  if (!answer.ok)
    throw new Error(`The result of ${job.id} answered ${answer.status}: ${await answer.text()}`);
  const bytes = Buffer.from(await answer.arrayBuffer());
  writeFileSync(join(RESULTS, job.target), bytes);
  job.detail = `${(bytes.length / 1_024).toFixed(1)} KiB`;
}

async function call(api: Stack, path: string, init: RequestInit = {}): Promise<JobAnswer> {
  const answer = await fetch(`${api.apiUrl}${path}`, { ...init, signal: AbortSignal.timeout(30_000) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${init.method ?? 'GET'} ${path} answered ${answer.status}: ${text}`);
  return JSON.parse(text) as JobAnswer;
}

function renderJobs(): string[] {
  const table = new Table({
    head: ['JOB', 'WHAT', 'STATUS', 'TIME', 'RESULT'],
    chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
    style: process.stdout.isTTY ? { head: ['bold'], border: ['gray'] } : { head: [], border: [] },
  });
  for (const job of jobs) {
    const seconds = ((job.endedAtMs ?? Date.now()) - job.startedAtMs) / 1_000;
    table.push([
      job.id.slice(-12),
      job.what,
      styleText(HUES[job.status] ?? 'gray', job.status),
      `${seconds.toFixed(1)} s`,
      job.detail,
    ]);
  }
  return table.toString().split('\n');
}

/** Answers how many jobs failed. */
function summarise(): number {
  const failed = jobs.filter((job) => job.status !== 'SUCCESS').length;
  const verdict =
    failed === 0
      ? styleText('green', `${jobs.length} jobs ended in SUCCESS`)
      : styleText('red', `${failed} of ${jobs.length} jobs failed`);
  console.log(`\n${verdict}; results in ${shown(RESULTS)}`);
  return failed;
}

function tellWhereToLook(api: Stack): void {
  const curl = `curl -F file=@${relative(process.cwd(), join(IMAGES, 'chelsea.png'))} -F format=webp ${api.apiUrl}/v1/images`;
  console.log(
    `\n  Page      ${styleText('bold', `${api.apiUrl}/`)}\n  API       ${api.apiUrl}/docs\n  Try       ${curl}`,
  );
  if (api.kubeconfigPath !== null) {
    console.log(`  Cluster   export KUBECONFIG=${api.kubeconfigPath}\n            kubectl get qj -w`);
  }
  console.log(
    `  Handlers  source ${shown(api.envFile)}, for a worker of your own: ${shown(join(ROOT, 'examples/handler/README.md'))}`,
  );
  console.log(`\n${styleText('gray', 'Ctrl-C stops everything; the data stays.')}\n`);
}

function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}
