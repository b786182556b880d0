import { expect, it } from 'vitest';
import { findAdrProblems, findBrokenLinks } from './docs-checks.ts';

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
