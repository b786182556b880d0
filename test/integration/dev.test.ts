import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Child, startChild } from '../../hack/services/child.ts';
import { commandLineOf } from '../../hack/services/owner.ts';
import { waitFor } from '../support/wait-for.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const EXAMPLE = join(ROOT, 'examples/handler');

let dataDir: string;
let dev: Child;
let worker: Child | undefined;
let deadWith: number | null | undefined;
const output: string[] = [];

/** What `make dev` runs. */
beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'longshore-dev-'));
  chmodSync(dataDir, 0o755);
  dev = await startChild({
    command: process.execPath,
    args: [join(ROOT, 'hack/demo.ts'), '--no-jobs'],
    stopSignal: 'TERM',
    logFile: join(dataDir, 'dev.err.log'),
    env: { LONGSHORE_DEMO_DIR: dataDir, NO_COLOR: '1' },
    onLine: (line) => output.push(line),
    onDeath: ({ code }) => {
      deadWith = code;
    },
  });
  await waitFor(() => dev.hasExited() || output.some((line) => line.includes('Ctrl-C stops')), {
    timeoutMs: 110_000,
    describe: 'make dev to be up',
  });
}, 120_000);

afterAll(async () => {
  await worker?.stop();
  await dev.stop(30_000);
  rmSync(dataDir, { recursive: true, force: true });
});

/** Runs a line of a shell that has sourced what `make dev` wrote. */
async function sourced(command: string): Promise<string> {
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', `. '${dataDir}/env'; ${command}`], {
    cwd: ROOT,
    timeout: 60_000,
  });
  return stdout;
}

it("runs the example's handler from the sources, with the environment that it wrote", async () => {
  expect(output.join('\n')).toContain(`source ${dataDir}/env`);
  expect(statSync(join(dataDir, 'env')).mode & 0o777).toBe(0o600);
  await sourced(`node bin/longshore.js type apply ${EXAMPLE}/word-count.yaml`);
  await sourced('node bin/longshore.js pool create own --types word-count');
  worker = await startChild({
    command: '/bin/sh',
    args: ['-c', `. '${dataDir}/env'; exec node --conditions=longshore-source ${EXAMPLE}/word-count.ts`],
    stopSignal: 'TERM',
    logFile: join(dataDir, 'own.err.log'),
  });
  writeFileSync(
    join(dataDir, 'job.json'),
    JSON.stringify({ type: 'word-count', input: { text: 'a ship in the harbour is safe' } }),
  );
  const submit = `curl -sS $API_URL/v1/jobs -H 'content-type: application/json' -d @${dataDir}/job.json`;
  const { id } = JSON.parse(await sourced(submit)) as { id: string };
  const result = () => sourced(`curl -sS $API_URL/v1/jobs/${id}/result`).then((text) => JSON.parse(text));
  expect(
    await waitFor(result, (seen) => seen.words !== undefined, {
      timeoutMs: 60_000,
      describe: 'the result of the job',
    }),
  ).toEqual({ words: 7, longest: 'harbour' });
});

it('says which process died, how and where to look, stops the others and fails', async () => {
  const [workerPid, apiPid] = ['worker', 'api'].map((name) => {
    const [line = ''] = readFileSync(join(dataDir, `logs/${name}.log`), 'utf8').split('\n');
    return Number((JSON.parse(line) as { pid: number }).pid);
  }) as [number, number];
  expect(commandLineOf(apiPid)).toContain('cli/main.ts api');
  process.kill(workerPid, 'SIGKILL');
  await waitFor(() => deadWith !== undefined, { timeoutMs: 60_000, describe: 'the end of make dev' });
  expect(deadWith).toBe(1);
  const told = readFileSync(join(dataDir, 'dev.err.log'), 'utf8');
  expect(told).toContain(`worker was ended by SIGKILL; its log is ${dataDir}/logs/worker.log`);
  expect(told).toContain('Worker started');
  expect(told).toContain('Everything else is stopped');
  expect(commandLineOf(apiPid)).toBeUndefined();
});
