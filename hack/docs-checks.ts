import { posix } from 'node:path';

/** ADRs are found by their numbers, so each has its own. */
export function findAdrProblems(paths: readonly string[]): string[] {
  const names = paths.map((path) => posix.basename(path)).filter((name) => name !== 'README.md');
  const misnamed = names.filter((name) => !/^\d{4}-[a-z0-9-]+\.md$/.test(name));
  const byNumber = Map.groupBy(names, (name) => name.slice(0, 4));
  const doubled = [...byNumber.values()].filter((same) => same.length > 1);
  return [
    ...misnamed.map((name) => `docs/adr/${name} is not named NNNN-title.md`),
    ...doubled.map((same) => `ADRs share a number: ${same.toSorted().join(', ')}`),
  ];
}

/** A metric's name without what a histogram adds to it. */
const METRIC = /\blongshore_[a-z]+(?:_[a-z]+)+?(?=(?:_bucket|_sum|_count)?\b)/g;
const METRIC_NAME = /name: '(longshore_[a-z_]+)'/g;

/** Metrics that a document names and no source makes, and those that it leaves out. `others`: words like them that are none. */
export function findMetricProblems(
  path: string,
  text: string,
  sources: readonly string[],
  others: readonly string[] = [],
): string[] {
  const made = new Set(
    sources.flatMap((source) => [...source.matchAll(METRIC_NAME)].map(([, name = '']) => name)),
  );
  const named = new Set([...text.matchAll(METRIC)].map(([name]) => name));
  for (const other of others) named.delete(other);
  return [
    ...[...named]
      .filter((name) => !made.has(name))
      .map((name) => `${path} names the metric ${name}, which nothing exports`),
    ...[...made].filter((name) => !named.has(name)).map((name) => `${path} does not name the metric ${name}`),
  ];
}

/** Integration tests that a document does not name: `ledger`, or with others `faults-*`. */
export function findUnnamedTests(path: string, text: string, tests: readonly string[]): string[] {
  const named = [...text.matchAll(/`(?:test\/integration\/)?([a-z-]+\*?)(?:\.test\.ts)?`/g)].map(
    ([, name = '']) => name,
  );
  const isNamed = (test: string): boolean =>
    named.some((name) => (name.endsWith('-*') ? test.startsWith(name.slice(0, -1)) : test === name));
  return tests
    .filter((test) => !isNamed(posix.basename(test, '.test.ts')))
    .map((test) => `${path} does not name ${test}`);
}

const FENCE = /^(```|~~~)[\s\S]*?^\1/gm;
const LINK = /\]\(\s*<?([^)\s>]+)>?[^)]*\)/g;

/**
 * Links of a Markdown document to files that are not there, or to headings that their document lacks. Links to the web
 * are left alone.
 */
export function findBrokenLinks(
  path: string,
  text: string,
  exists: (path: string) => boolean,
  read: (path: string) => string,
): string[] {
  const prose = text.replaceAll(FENCE, '').replaceAll(/`[^`\n]*`/g, '');
  return [...prose.matchAll(LINK)].flatMap(([, link = '']) => {
    if (/^[a-z][a-z+.-]*:/i.test(link)) return [];
    const [file = '', heading] = decodeURIComponent(link).split('#');
    const target = file === '' ? path : posix.join(posix.dirname(path), file);
    if (!exists(target)) return [`${path} links to ${link}, which is not there`];
    if (heading === undefined || !target.endsWith('.md')) return [];
    return headingsOf(read(target)).has(heading)
      ? []
      : [`${path} links to ${link}, but there is no such heading`];
  });
}

/** Anchors as code hosts make them of headings: lower case, no punctuation, hyphens for spaces. */
function headingsOf(text: string): Set<string> {
  const titles = [...text.replaceAll(FENCE, '').matchAll(/^#{1,6}\s+(.+?)\s*$/gm)].map(
    ([, title = '']) => title,
  );
  return new Set(
    titles.map((title) =>
      title
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(/\s/g, '-'),
    ),
  );
}
