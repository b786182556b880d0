import { expect, it } from 'vitest';
import { findAdrProblems, findBrokenLinks, findMetricProblems, findUnnamedTests } from './docs-checks.ts';

const FILES: Record<string, string> = {
  'docs/a.md': '# The way of a job\n## `Window`: a *bounded* one\n```\n# not a heading\n```\n',
  'README.md': '# Longshore\n',
};

function brokenLinksOf(text: string): string[] {
  return findBrokenLinks(
    'docs/b.md',
    text,
    (path) => path in FILES || path === 'docs/b.md' || path === 'docs',
    (path) => (path === 'docs/b.md' ? text : (FILES[path] ?? '')),
  );
}

it.each([
  '[a](a.md)',
  '[a](a.md#the-way-of-a-job)',
  '[a](a.md#window-a-bounded-one)',
  '[up](../README.md "title")',
  '# Here\n[self](#here)',
  '[web](https://example.com/missing)',
  '`[code](missing.md)`',
  '```\n[code](missing.md)\n```\n',
])('accepts %s', (text) => {
  expect(brokenLinksOf(text)).toEqual([]);
});

it.each([
  '[a](missing.md)',
  '[a](a.md#not-a-heading)',
  '[a](../a.md)',
  '![image](missing.png)',
  '[self](#there)',
])('refuses %s', (text) => {
  expect(brokenLinksOf(text)).toHaveLength(1);
});

it('wants a number of its own for each ADR', () => {
  const good = ['docs/adr/0001-ledger.md', 'docs/adr/0002-window.md', 'docs/adr/README.md'];
  expect(findAdrProblems(good)).toEqual([]);
  expect(findAdrProblems([...good, 'docs/adr/0002-other.md'])).toEqual([
    'ADRs share a number: 0002-other.md, 0002-window.md',
  ]);
  expect(findAdrProblems(['docs/adr/first.md'])).toHaveLength(1);
});

it('finds metrics that only the document or only the source knows', () => {
  const source = "new Counter({ name: 'longshore_a_total' }); new Histogram({ name: 'longshore_b_seconds' })";
  const document = '`longshore_a_total`: rate(longshore_b_seconds_bucket[5m]); in role longshore_pool_a';
  expect(findMetricProblems('o.md', document, [source], ['longshore_pool_a'])).toEqual([]);
  expect(findMetricProblems('o.md', 'longshore_a_total, longshore_old_total', [source])).toEqual([
    'o.md names the metric longshore_old_total, which nothing exports',
    'o.md does not name the metric longshore_b_seconds',
  ]);
});

it('finds integration tests that a document leaves out', () => {
  const tests = ['ledger', 'faults-stores', 'model', 'trace'].map(
    (name) => `test/integration/${name}.test.ts`,
  );
  const document = '`ledger`, `faults-*`, `test/integration/model.test.ts`';
  expect(findUnnamedTests('t.md', document, tests)).toEqual([
    't.md does not name test/integration/trace.test.ts',
  ]);
});
