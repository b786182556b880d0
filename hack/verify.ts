// Fails when a generated file differs from its source, two ADRs share a number, a link in the docs leads nowhere, or the
// docs name other metrics or integration tests than there are.
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findAdrProblems, findBrokenLinks, findMetricProblems, findUnnamedTests } from './docs-checks.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const GENERATED = [
  'k8s/crds',
  'docs/openapi.json',
  'docs/configuration.md',
  'charts/longshore/crds',
  'charts/longshore/files/rbac',
  'charts/longshore/Chart.yaml',
  'charts/longshore/README.md',
];

await import('./generate.ts');
const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' });
const stale = git('status', '--porcelain', '--untracked-files=all', '--', ...GENERATED);
if (stale !== '') process.stderr.write(git('diff', '--', ...GENERATED));

const documents = globSync(['*.md', '{docs,examples,loadtest,bench,charts,src}/**/*.md'], { cwd: root });
const problems = [
  ...stale
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `${line.slice(3)} differs from its source: run "make generate" and commit it`),
  ...findAdrProblems(globSync('docs/adr/*', { cwd: root })),
  ...findMetricProblems(
    'docs/operations.md',
    readFileSync(`${root}/docs/operations.md`, 'utf8'),
    globSync('src/**/*.ts', { cwd: root }).map((path) => readFileSync(`${root}/${path}`, 'utf8')),
    ['longshore_pool_a'],
  ),
  ...findUnnamedTests(
    'docs/testing.md',
    readFileSync(`${root}/docs/testing.md`, 'utf8'),
    globSync('test/integration/*.test.ts', { cwd: root }),
  ),
  ...documents.toSorted().flatMap((path) =>
    findBrokenLinks(
      path,
      readFileSync(`${root}/${path}`, 'utf8'),
      (target) => existsSync(`${root}/${target}`),
      (target) => readFileSync(`${root}/${target}`, 'utf8'),
    ),
  ),
];
for (const problem of problems) process.stderr.write(`${problem}\n`);
process.stdout.write(`Verified ${GENERATED.length} generated paths and ${documents.length} documents\n`);
if (problems.length > 0) process.exitCode = 1;
