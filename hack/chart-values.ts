import { isMap, isScalar, type Node, type Pair, parseDocument, type YAMLMap } from 'yaml';

/** A value of the chart: its path (`api.replicas`), its default as YAML in one line, and what its comment says. */
export interface ChartValue {
  path: string;
  fallback: string;
  description: string;
}

/**
 * The values of a values.yaml in its order: those that have a comment and all that are no maps of further ones.
 * A map without a comment is a group: its members are listed instead.
 */
export function listChartValues(text: string): ChartValue[] {
  const document = parseDocument(text);
  if (!isMap(document.contents)) throw new TypeError('The values are no map');
  return listMap(document.contents, '');
}

type Scalar = { value: unknown; commentBefore?: string | null };

function listPair(pair: Pair<Scalar, Node | null>, parent: string, comment: string): ChartValue[] {
  const path = `${parent}${String(pair.key.value)}`;
  const { value } = pair;
  if (isMap(value) && comment === '' && value.items.length > 0) return listMap(value, `${path}.`);
  const fallback = JSON.stringify(value?.toJSON() ?? null);
  return [{ path, fallback, description: comment }];
}

function listMap(map: YAMLMap, parent: string): ChartValue[] {
  return map.items.flatMap((pair, index) => {
    // A comment between a key and the first of its members is kept by the map.
    const comment = commentOf(pair.key) || (index === 0 ? clean(map.commentBefore) : '');
    return listPair(pair as Pair<Scalar, Node | null>, parent, comment);
  });
}

function commentOf(key: unknown): string {
  return isScalar(key) ? clean(key.commentBefore) : '';
}

/** What stands above a blank line belongs to the file. */
function clean(comment: string | null | undefined): string {
  return ((comment ?? '').split('\n\n').at(-1) ?? '')
    .split('\n')
    .map((line) => line.trim())
    .join(' ')
    .trim();
}

/** The table of the chart's README. */
export function renderValuesTable(text: string): string {
  const cell = (content: string) => content.replaceAll('|', '\\|');
  const rows = listChartValues(text).map(
    ({ path, fallback, description }) => `| \`${path}\` | \`${cell(fallback)}\` | ${cell(description)} |`,
  );
  return ['| value | default | meaning |', '| --- | --- | --- |', ...rows, ''].join('\n');
}
