import { describe, expect, test } from 'vitest';
import { type AutoscaleChart, renderChart } from './chart.ts';

const pool = {
  name: 'greeters',
  caption: 'jobs of 1 s',
  firstStartSeconds: 2.04,
  waiting: [
    [0, 0],
    [60, 42],
    [120, 0],
  ],
  running: [
    [0, 0],
    [60, 30],
    [120, 0],
  ],
  wanted: [
    [0, 0],
    [30, 6],
    [110, 0],
  ],
  ready: [
    [0, 0],
    [32, 6],
    [111, 0],
  ],
  submitted: [[60, 12.5]],
  finished: [[60, 12]],
} as const;

const chart: AutoscaleChart = {
  title: 'Pods & <jobs>',
  subtitle: 'somewhere',
  seconds: 120,
  phases: [
    { name: 'rising', untilSeconds: 60 },
    { name: 'falling', untilSeconds: 120 },
  ],
  figures: [{ label: 'requests', value: '1,500' }],
  pools: [pool, { ...pool, name: 'images', firstStartSeconds: null }],
  footnote: 'counted',
};
const svg = renderChart(chart);

/** What XML forbids, as far as this file could get it wrong: every element is closed in order, and every `&` is an entity. */
function unclosed(xml: string): string[] {
  const open: string[] = [];
  for (const [, slash, name = '', rest = ''] of xml.matchAll(/<(\/?)([a-z]+)([^>]*)>/g)) {
    if (slash === '/') expect(open.pop()).toBe(name);
    else if (!rest.endsWith('/')) open.push(name);
  }
  return open;
}

describe('the picture', () => {
  test('is well formed, whatever names are in it', () => {
    expect(unclosed(svg)).toEqual([]);
    expect(svg).toContain('Pods &amp; &lt;jobs&gt;');
    expect(svg).not.toMatch(/&(?!amp;|lt;|gt;|quot;)/);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test('needs nothing from elsewhere', () => {
    expect(svg.replace('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|url\(|@import|<script|<image/);
  });

  test('tells those who do not see it what it shows', () => {
    expect(svg).toMatch(/role="img" aria-labelledby="title description"/);
    expect(svg).toMatch(
      /<desc[^>]*>.*greeters \(jobs of 1 s\): at most 42 jobs waiting, 6 pods wanted, 6 pods ready, 12 jobs finished a second\./,
    );
    expect(svg).toContain('requests 1,500');
  });

  test('has a panel for each figure of each pool, with units on its axes', () => {
    for (const unit of ['jobs', 'pods', 'jobs/s'])
      expect(svg.split(`>${unit}</tspan>`)).toHaveLength(chart.pools.length + 1);
    expect(svg.split('>min:s</text>')).toHaveLength(3 * chart.pools.length + 1);
  });

  test('says what was greatest as a number', () => {
    expect(svg).toContain('>42 waiting</text>');
    expect(svg).toContain('>6 ready</text>');
    expect(svg).toContain('>12 finished</text>');
  });

  test('says how long the first job waited, or that there was none', () => {
    expect(svg).toContain('the first job started 2.04 s after it was accepted');
    expect(svg).toContain('No job ran');
  });

  test('names each curve beside its panel', () => {
    for (const name of ['waiting', 'running', 'ready', 'wanted', 'finished', 'submitted'])
      expect(svg.split(`>${name}</text>`)).toHaveLength(chart.pools.length + 1);
  });

  test('is readable in the dark', () => {
    expect(svg).toContain('prefers-color-scheme: dark');
  });
});

test('a pool without a single sample is drawn empty', () => {
  const empty = { ...pool, waiting: [], running: [], wanted: [], ready: [], submitted: [], finished: [] };
  const text = renderChart({ ...chart, pools: [empty] });
  expect(unclosed(text)).toEqual([]);
  expect(text).not.toMatch(/NaN|Infinity/);
});
