import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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
import { freePort } from '../support/ports.ts';
import { waitFor } from '../support/wait-for.ts';

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, '../..');
const NPM = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];

const HANDLER = `import { defineHandler, defineJobType, startWorker } from 'longshore/worker';
import { z } from 'zod';

const type = defineJobType({
  name: 'shout',
  description: 'Says it louder',
  input: z.object({ text: z.string() }),
  result: z.object({ text: z.string() }),
});

const handler = defineHandler(type, async (context) => {
  await context.progress(50);
  return { text: context.input.text.toUpperCase() };
});

await startWorker([handler]);
`;

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
  ledger = await createTestLedger(['shout']);
  embedded = new Embedded({ ledger, registrations: [] });
}, 800_000);

afterAll(async () => {
  await worker?.stop();
  await embedded?.stop();
  await ledger?.close();
  await rm(folder, { recursive: true, force: true });
});

it('runs a handler that someone else wrote', async () => {
  await writeFile(join(folder, 'handler.mjs'), HANDLER);
  const logFile = join(folder, 'worker.log');
  worker = await startChild({
    command: process.execPath,
    args: [join(folder, 'handler.mjs')],
    stopSignal: 'TERM',
    logFile,
    env: {
      LONGSHORE_WORKER_POSTGRES_URL: ledger.workerUrl,
      LONGSHORE_REDIS_URL: embedded.redisUrl,
      LONGSHORE_REDIS_PREFIX: embedded.prefix,
      LONGSHORE_WORKER_POOL_SECRET: ledger.poolSecret,
      LONGSHORE_HEALTH_PORT: String(await freePort()),
    },
  });
  embedded.startController();
  const job = newJob({ type: 'shout', input: { text: 'land ho' } });
  await acceptJobs(ledger.db, [job]);
  const ended = await waitFor(
    () => getJob(ledger.db, 'default', job.id),
    (seen) => worker?.hasExited() || (seen !== null && isFinal(seen.status)),
    { timeoutMs: 60_000, describe: 'the end of the job' },
  );
  expect(ended, await readFile(logFile, 'utf8')).toMatchObject({
    status: 'SUCCESS',
    result: { text: 'LAND HO' },
  });
});

it('declares types that a strict project accepts, and that find a mistake', async () => {
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: STRICT, include: ['*.mts'] }),
  );
  const check = () => run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder], { timeout: 120_000 });
  await writeFile(join(folder, 'handler.mts'), HANDLER);
  await check();
  await writeFile(join(folder, 'handler.mts'), HANDLER.replace('context.input.text', 'context.input.txt'));
  await expect(check()).rejects.toMatchObject({
    stdout: expect.stringContaining("Property 'txt' does not exist"),
  });
});

it('gives the command line, with all it needs beside it', async () => {
  const { stdout } = await run(join(folder, 'node_modules/.bin/longshore'), ['--help'], { timeout: 30_000 });
  expect(stdout).toContain('migrate');
  const dist = join(folder, 'node_modules/longshore/dist');
  const [here, packed] = await Promise.all([
    readdir(join(ROOT, 'src/ledger/migrations')),
    readdir(join(dist, 'ledger/migrations')),
  ]);
  expect(packed).toEqual(here);
  expect(await readdir(join(dist, 'api/public'))).toContain('index.html');
});
