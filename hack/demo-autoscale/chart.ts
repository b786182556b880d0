import {
  areaPath,
  formatNumber,
  formatTime,
  linearScale,
  linePath,
  niceTicks,
  type Point,
  peakOf,
  type Scale,
  stepPath,
  timeTicks,
} from './plot.ts';

/** One pool over time; times are seconds since the start. */
export interface PoolChart {
  name: string;
  /** What its jobs are and how large it may become, in a line. */
  caption: string;
  /** From the first job's acceptance to its start; null when none ran. */
  firstStartSeconds: number | null;
  waiting: readonly Point[];
  running: readonly Point[];
  wanted: readonly Point[];
  ready: readonly Point[];
  /** A second. */
  submitted: readonly Point[];
  finished: readonly Point[];
}

export interface AutoscaleChart {
  title: string;
  subtitle: string;
  /** How long the picture is. */
  seconds: number;
  /** What the load did, in order and without gaps from 0. */
  phases: readonly { name: string; untilSeconds: number }[];
  /** The summary of k6 and of the jobs, as it is to be read. */
  figures: readonly { label: string; value: string }[];
  pools: readonly PoolChart[];
  /** Where the figures are from. */
  footnote: string;
}

interface Curve {
  name: string;
  className: 'first' | 'second';
  of(pool: PoolChart): readonly Point[];
}

interface Row {
  title: string;
  unit: string;
  /** The second is drawn as an outline over the first. */
  curves: readonly [Curve, Curve];
  shape: 'line' | 'steps';
  /** Whether values come in whole pieces. */
  whole: boolean;
}

const ROWS: readonly Row[] = [
  {
    title: 'Queue depth',
    unit: 'jobs',
    curves: [
      { name: 'waiting', className: 'first', of: (pool) => pool.waiting },
      { name: 'running', className: 'second', of: (pool) => pool.running },
    ],
    shape: 'line',
    whole: true,
  },
  {
    title: 'Replicas',
    unit: 'pods',
    curves: [
      { name: 'ready', className: 'first', of: (pool) => pool.ready },
      { name: 'wanted', className: 'second', of: (pool) => pool.wanted },
    ],
    shape: 'steps',
    whole: true,
  },
  {
    title: 'Throughput',
    unit: 'jobs/s',
    curves: [
      { name: 'finished', className: 'first', of: (pool) => pool.finished },
      { name: 'submitted', className: 'second', of: (pool) => pool.submitted },
    ],
    shape: 'line',
    whole: false,
  },
];

const MARGIN = 40;
const COLUMN = { width: 380, gap: 28, axis: 52 };
const ROW = { height: 150, gap: 66 };
const TOP = { figures: 104, pools: 194, rows: 300 };
const FOOT = 14;

/** One file, no fonts or scripts from elsewhere; where styles know no media queries it is the light one. */
const STYLE = `
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; fill: #1f2328 }
  .title { font-size: 26px; font-weight: 700 } .pool { font-size: 18px; font-weight: 600 }
  .figure { font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums }
  .quiet { fill: #59636e } .small { font-size: 11.5px } .row { font-weight: 600 }
  .end { text-anchor: end } .middle { text-anchor: middle }
  .ground { fill: #ffffff } .phase { fill: #818b98; fill-opacity: .10 }
  .grid { stroke: #d1d9e0; stroke-width: 1 } .axis { stroke: #59636e; stroke-width: 1 }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round }
  .line.first { stroke: #0969da } .line.second { stroke: #bc4c00; stroke-width: 1.75; stroke-dasharray: 5 3 }
  .area { fill: #0969da; fill-opacity: .16 } .dot { fill: #0969da; stroke: #ffffff; stroke-width: 1.5 }
  .peak { fill: #0550ae; font-weight: 600; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .quiet { fill: #9198a1 } .ground { fill: #0d1117 } .phase { fill: #9198a1; fill-opacity: .13 }
    .grid { stroke: #3d444d } .axis { stroke: #9198a1 } .line.first { stroke: #4493f8 } .line.second { stroke: #f0883e }
    .area { fill: #4493f8; fill-opacity: .24 } .dot { fill: #4493f8; stroke: #0d1117 }
    .peak { fill: #79c0ff; stroke: #0d1117 }
  }`;

/** Draws pools side by side, and for each the queue, the pods and the jobs a second one above the other. */
export function renderChart(chart: AutoscaleChart): string {
  const { pools } = chart;
  const columns = Math.max(pools.length, 2);
  const width = 2 * MARGIN + columns * (COLUMN.width + COLUMN.axis) + (columns - 1) * COLUMN.gap;
  const height = TOP.rows + ROWS.length * (ROW.height + ROW.gap) + FOOT;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title description">`,
    `<title id="title">${escapeXml(chart.title)}</title>`,
    `<desc id="description">${escapeXml(describe(chart))}</desc>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    text(MARGIN, 52, chart.title, 'title'),
    text(MARGIN, 78, chart.subtitle, 'quiet'),
    ...figures(chart, width),
    ...pools.flatMap((pool, index) => column(chart, pool, index)),
    text(MARGIN, height - 24, chart.footnote, 'quiet small'),
    '</svg>\n',
  ].join('\n');
}

/** The picture in words, for those who do not see it. */
function describe({ seconds, phases, figures: summary, pools }: AutoscaleChart): string {
  const load = phases.map(({ name, untilSeconds }) => `${name} until ${formatTime(untilSeconds)}`).join(', ');
  const each = pools.map(
    (pool) =>
      `${pool.name} (${pool.caption}): at most ${formatNumber(peakOf(pool.waiting)[1])} jobs waiting, ` +
      `${formatNumber(peakOf(pool.wanted)[1])} pods wanted, ${formatNumber(peakOf(pool.ready)[1])} pods ready, ` +
      `${formatNumber(peakOf(pool.finished)[1])} jobs finished a second.`,
  );
  const figuresInWords = summary.map(({ label, value }) => `${label} ${value}`).join(', ');
  return `Queue depth, replicas and jobs a second of ${pools.length} worker pools over ${formatTime(seconds)} (minutes and seconds). Load: ${load}. ${each.join(' ')} ${figuresInWords}.`;
}

function figures({ figures: all }: AutoscaleChart, width: number): string[] {
  const step = (width - 2 * MARGIN) / Math.max(1, all.length);
  return all.flatMap(({ label, value }, index) => [
    text(MARGIN + index * step, TOP.figures + 20, value, 'figure'),
    text(MARGIN + index * step, TOP.figures + 40, label, 'quiet small'),
  ]);
}

function column(chart: AutoscaleChart, pool: PoolChart, index: number): string[] {
  const left = MARGIN + COLUMN.axis + index * (COLUMN.width + COLUMN.axis + COLUMN.gap);
  const x = linearScale([0, chart.seconds], [left, left + COLUMN.width]);
  const first =
    pool.firstStartSeconds === null
      ? 'No job ran'
      : `From zero pods, the first job started ${formatNumber(pool.firstStartSeconds)} s after it was accepted`;
  return [
    text(left - COLUMN.axis, TOP.pools, pool.name, 'pool'),
    text(left - COLUMN.axis, TOP.pools + 21, pool.caption, 'quiet small'),
    text(left - COLUMN.axis, TOP.pools + 38, first, 'quiet small'),
    ...phaseNames(chart, x),
    ...ROWS.flatMap((row, number) => panel(chart, pool, row, x, TOP.rows + number * (ROW.height + ROW.gap))),
  ];
}

function phaseNames({ phases }: AutoscaleChart, x: Scale): string[] {
  return phases.map(({ name, untilSeconds }, index) =>
    text(
      (x(phases[index - 1]?.untilSeconds ?? 0) + x(untilSeconds)) / 2,
      TOP.rows - 32,
      name,
      'quiet small middle',
    ),
  );
}

function panel(chart: AutoscaleChart, pool: PoolChart, row: Row, x: Scale, top: number): string[] {
  const bottom = top + ROW.height;
  const [left, right] = [x(0), x(chart.seconds)];
  const greatest = Math.max(...row.curves.map((curve) => peakOf(curve.of(pool))[1]));
  const ticks = niceTicks(greatest, 4, { whole: row.whole });
  const y = linearScale([0, ticks.at(-1) ?? 1], [bottom, top]);
  const [first, second] = row.curves;
  const draw = (points: readonly Point[]) =>
    row.shape === 'steps' ? stepPath(points, x, y, chart.seconds) : linePath(points, x, y);
  return [
    ...bands(chart, x, top),
    `<text x="${left - COLUMN.axis}" y="${top - 11}" class="row">${row.title} <tspan class="quiet small">${row.unit}</tspan></text>`,
    ...legend(row, right, top - 11),
    ...ticks.flatMap((tick) => [
      `<path class="${tick === 0 ? 'axis' : 'grid'}" d="M${left} ${y(tick)}H${right}"/>`,
      text(left - 8, y(tick) + 4, formatNumber(tick), 'quiet small end'),
    ]),
    ...timeTicks(chart.seconds).flatMap((seconds) => [
      `<path class="axis" d="M${round(x(seconds))} ${bottom}v4"/>`,
      text(round(x(seconds)), bottom + 18, formatTime(seconds), 'quiet small middle'),
    ]),
    text(left - 18, bottom + 18, 'min:s', 'quiet small end'),
    row.shape === 'line' ? `<path class="area" d="${areaPath(first.of(pool), x, y)}"/>` : '',
    `<path class="line ${first.className}" d="${draw(first.of(pool))}"/>`,
    `<path class="line ${second.className}" d="${draw(second.of(pool))}"/>`,
    ...mark(peakOf(first.of(pool)), first.name, [x, y], { top, right }),
  ];
}

/** Every second phase is shaded, so that one sees where the load changes. */
function bands({ phases }: AutoscaleChart, x: Scale, top: number): string[] {
  return phases.flatMap(({ untilSeconds }, index) => {
    const from = x(phases[index - 1]?.untilSeconds ?? 0);
    if (index % 2 === 0) return [];
    return `<rect class="phase" x="${round(from)}" y="${top}" width="${round(x(untilSeconds) - from)}" height="${ROW.height}"/>`;
  });
}

/** The greatest value as a number, where it is; inside the panel, whose edges are in use. */
function mark(
  [seconds, value]: Point,
  name: string,
  [x, y]: readonly [Scale, Scale],
  panelEdges: { top: number; right: number },
): string[] {
  if (value === 0) return [];
  const [left, top] = [round(x(seconds)), round(y(value))];
  const isLate = left > panelEdges.right - 90;
  const label = `${formatNumber(value)} ${name}`;
  return [
    `<circle class="dot" cx="${left}" cy="${top}" r="3.5"/>`,
    text(
      left + (isLate ? -8 : 8),
      Math.max(top - 6, panelEdges.top + 13),
      label,
      `peak small${isLate ? ' end' : ''}`,
    ),
  ];
}

/** In the corner of each panel, so that nobody has to look it up. */
function legend({ curves }: Row, right: number, baseline: number): string[] {
  return curves.flatMap(({ name, className }, index) => {
    const left = right - (curves.length - index) * 92;
    return [
      `<path class="line ${className}" d="M${left} ${baseline - 4}h22"/>`,
      text(left + 28, baseline, name, 'small'),
    ];
  });
}

function text(x: number, y: number, content: string, className: string): string {
  return `<text x="${round(x)}" y="${round(y)}" class="${className}">${escapeXml(content)}</text>`;
}

function round(pixels: number): number {
  return Math.round(pixels * 10) / 10;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function escapeXml(content: string): string {
  return content.replaceAll(/[&<>"]/g, (character) => ENTITIES[character] ?? character);
}
