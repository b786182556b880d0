/**
 * Runs the test projects named as arguments, one after the other, and says how many tests passed and failed.
 *
 *   node hack/test.ts unit integration
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findHelm } from './helm.ts';
import { findChromium, findPostgres, findRedis } from './services/programs.ts';
import { formatTotals, readReport, type Totals } from './test-totals.ts';

const projects = process.argv.slice(2);
if (projects.length === 0) throw new Error('Usage: node hack/test.ts PROJECT...');

const folder = mkdtempSync(join(tmpdir(), 'longshore-report-'));
try {
  const env = projects.includes('integration') ? await prepare() : {};
  const totals: Totals[] = [];
  for (const project of projects) totals.push(await run(project, env));
  process.stdout.write(`\n${formatTotals(totals)}\n`);
  if (totals.some(({ ok }) => !ok)) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** What integration tests run on is obtained before the first of them, where it can be watched. */
async function prepare(): Promise<NodeJS.ProcessEnv> {
  await findPostgres();
  await findRedis();
  const LONGSHORE_CHROMIUM = await findChromium();
  const assets = execFileSync(join(import.meta.dirname, 'kube/build'), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { LONGSHORE_CHROMIUM, KUBEBUILDER_ASSETS: assets.trim(), HELM: await findHelm() };
}

async function run(project: string, env: NodeJS.ProcessEnv): Promise<Totals> {
  const report = join(folder, `${project}.json`);
  const startedAt = performance.now();
  const vitest = spawn(
    'vitest',
    ['run', '--project', project, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
    { stdio: 'inherit', env: { ...process.env, ...env } },
  );
  const [code] = (await once(vitest, 'exit')) as [number | null];
  const seconds = (performance.now() - startedAt) / 1_000;
  return readReport({ project, seconds, code, text: readIfThere(report) });
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
