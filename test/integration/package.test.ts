import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Child, startChild } from '../../hack/services/child.ts';
import { isFinal } from '../../src/core/job.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { getJob } from '../../src/ledger/jobs.ts';
import { Embedded } from '../support/embedded.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, '../..');
const NPM = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];

/** What a person copies into a project of their own. */
const EXAMPLE = join(ROOT, 'examples/handler');

const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  noEmit: true,
  target: 'es2024',
  lib: ['es2024', 'esnext.disposable'],
  module: 'nodenext',
  types: ['node'],
};

let folder: string;
let ledger: TestLedger;
let embedded: Embedded;
let worker: Child | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'longshore-package-'));
  await run('npm', ['pack', '--loglevel=error', '--pack-destination', folder], {
    cwd: ROOT,
    timeout: 120_000,
  });
  const tarball = (await readdir(folder)).find((name) => name.endsWith('.tgz')) ?? '';
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module', private: true }));
  await run('npm', ['install', ...NPM, `./${tarball}`], { cwd: folder, timeout: 600_000 });
  await cp(EXAMPLE, folder, { recursive: true });
  ledger = await createTestLedger();
  embedded = new Embedded({ ledger, registrations: [] });
}, 800_000);

afterAll(async () => {
  await worker?.stop();
  await embedded?.stop();
  await ledger?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Runs the packed command line. */
async function longshore(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const options = { cwd: folder, timeout: 60_000, env: { ...process.env, ...env } };
  return (await run(join(folder, 'node_modules/.bin/longshore'), args, options)).stdout;
}

it("runs the example's handler as its README tells", async () => {
  const env = {
    LONGSHORE_POSTGRES_URL: ledger.url,
    LONGSHORE_WORKER_POSTGRES_URL: ledger.workerUrl,
    LONGSHORE_REDIS_URL: embedded.redisUrl,
    LONGSHORE_REDIS_PREFIX: embedded.prefix,
    LONGSHORE_WORKER_POOL: 'own',
    LONGSHORE_WORKER_POOL_SECRET: 'the-secret-of-my-own-pool',
  };
  expect(await longshore(['type', 'apply', 'word-count.yaml'], env)).toContain('Applied type word-count');
  expect(await longshore(['pool', 'create', 'own', '--types', 'word-count'], env)).toContain(
    env.LONGSHORE_WORKER_POOL_SECRET,
  );
  const logFile = join(folder, 'worker.log');
  worker = await startChild({
    command: process.execPath,
    args: [join(folder, 'word-count.ts')],
    stopSignal: 'TERM',
    logFile,
    env,
  });
  embedded.startController();
  const job = newJob({ type: 'word-count', input: { text: 'a ship in the harbour is safe' } });
  await acceptJobs(ledger.db, [job]);
  const ended = await waitFor(
    () => getJob(ledger.db, 'default', job.id),
    (seen) => worker?.hasExited() || (seen !== null && isFinal(seen.status)),
    { timeoutMs: 60_000, describe: 'the end of the job' },
  );
  expect(ended, await readFile(logFile, 'utf8')).toMatchObject({
    status: 'SUCCESS',
    result: { words: 7, longest: 'harbour' },
  });
});

it('declares types that a strict project accepts, and that find a mistake', async () => {
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: STRICT, include: ['*.ts'] }),
  );
  const check = () => run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder], { timeout: 120_000 });
  await check();
  const handler = await readFile(join(EXAMPLE, 'word-count.ts'), 'utf8');
  await writeFile(join(folder, 'word-count.ts'), handler.replace('input.text.split', 'input.txt.split'));
  await expect(check()).rejects.toMatchObject({
    stdout: expect.stringContaining("Property 'txt' does not exist"),
  });
});

it('prints tables without colours into a pipe, and its version', async () => {
  const table = await longshore(['audit'], {
    LONGSHORE_POSTGRES_URL: ledger.url,
    FORCE_COLOR: undefined,
    NO_COLOR: undefined,
  });
  expect(table).toContain('INVARIANT');
  expect(table).not.toContain('\u001b');
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
  expect(await longshore(['--version'])).toBe(`${version}\n`);
});

it('tells an older Node.js what is missing', async () => {
  const older = `Object.defineProperty(process.versions, 'node', { value: '20.20.2' })`;
  const bin = join(folder, 'node_modules/longshore/bin/longshore.js');
  const preload = `data:text/javascript,${encodeURIComponent(older)}`;
  await expect(
    run(process.execPath, ['--import', preload, bin, '--version'], { timeout: 30_000 }),
  ).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('longshore needs Node.js 24 or newer; this is 20.20.2'),
  });
});

it('gives the command line, with all it needs beside it', async () => {
  expect(await longshore(['--help'])).toContain('migrate');
  const dist = join(folder, 'node_modules/longshore/dist');
  const [here, packed] = await Promise.all([
    readdir(join(ROOT, 'src/ledger/migrations')),
    readdir(join(dist, 'ledger/migrations')),
  ]);
  expect(packed).toEqual(here);
  expect(await readdir(join(dist, 'api/public'))).toContain('index.html');
});
