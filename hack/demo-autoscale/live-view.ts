import { styleText } from 'node:util';
import { createTable } from '../../src/cli/table.ts';
import { LiveBlock } from '../stack/terminal.ts';
import { type DemoPool, PHASES } from './plan.ts';
import { formatNumber, formatTime } from './plot.ts';
import type { PoolWatcher, Sample } from './watcher.ts';

const BARS = '▁▂▃▄▅▆▇█';
const SPARK_WIDTH = 24;
const PROGRESS_WIDTH = 40;
/** For a log, where nothing can be redrawn. */
const LINE_EVERY_SECONDS = 10;

/** The last values as bars; each is the greatest of those that share it, and 0 is the lowest bar. */
export function sparkline(values: readonly number[], width = SPARK_WIDTH): string {
  const perBar = Math.max(1, Math.ceil(values.length / width));
  const bars = Array.from({ length: Math.ceil(values.length / perBar) }, (_, index) =>
    Math.max(...values.slice(index * perBar, (index + 1) * perBar)),
  );
  const greatest = Math.max(1e-9, ...bars);
  return bars
    .map((value) => BARS[Math.round((value / greatest) * (BARS.length - 1))])
    .join('')
    .padStart(width);
}

export interface LiveState {
  elapsedSeconds: number;
  /** Of the load alone. */
  loadSeconds: number;
  phase: string;
  pools: readonly { name: string; samples: readonly Sample[] }[];
}

/** The pools side by side, as lines of a terminal. */
export function renderLive({ elapsedSeconds, loadSeconds, phase, pools }: LiveState): string[] {
  const table = createTable(['POOL', 'WAITING', '', 'PODS READY/WANTED', '', 'JOBS/S', '']);
  for (const { name, samples } of pools) {
    const last = samples.at(-1);
    table.push([
      name,
      formatNumber(last?.waiting ?? 0),
      styleText('yellow', sparkline(samples.map(({ waiting }) => waiting))),
      `${last?.ready ?? 0}/${last?.wanted ?? 0}`,
      styleText('cyan', sparkline(samples.map(({ ready }) => ready))),
      formatNumber(last?.finishedPerSecond ?? 0),
      styleText('green', sparkline(samples.map(({ finishedPerSecond }) => finishedPerSecond))),
    ]);
  }
  const done = Math.min(PROGRESS_WIDTH, Math.round((elapsedSeconds / loadSeconds) * PROGRESS_WIDTH));
  const bar = `${'━'.repeat(done)}${styleText('gray', '━'.repeat(PROGRESS_WIDTH - done))}`;
  return [
    `${bar} ${formatTime(elapsedSeconds)} of ${formatTime(loadSeconds)}, ${phase}`,
    ...table.toString().split('\n'),
  ];
}

/** The same in a line, for a log. */
export function renderLine({ elapsedSeconds, phase, pools }: LiveState): string {
  const each = pools.map(({ name, samples }) => {
    const last = samples.at(-1);
    return `${name} ${last?.waiting ?? 0} waiting, ${last?.ready ?? 0}/${last?.wanted ?? 0} pods, ${formatNumber(last?.finishedPerSecond ?? 0)} jobs/s`;
  });
  return `${formatTime(elapsedSeconds)} ${phase}: ${each.join('; ')}`;
}

/** What is seen of the pools from now on: a table that is drawn again and again, or lines in a log. */
export class LiveView {
  /** What happens after the load, once it is over. */
  phase: string | undefined;
  readonly #watcher: PoolWatcher;
  readonly #pools: readonly DemoPool[];
  readonly #loadSeconds: number;
  readonly #block = new LiveBlock();
  readonly #beganAt = performance.now();
  #saidAtSeconds = Number.NEGATIVE_INFINITY;

  constructor(watcher: PoolWatcher, pools: readonly DemoPool[], loadSeconds: number) {
    this.#watcher = watcher;
    this.#pools = pools;
    this.#loadSeconds = loadSeconds;
  }

  draw(): void {
    const state = this.#state();
    if (this.#block.isLive) this.#block.draw(renderLive(state));
    else if (state.elapsedSeconds - this.#saidAtSeconds >= LINE_EVERY_SECONDS) {
      this.#saidAtSeconds = state.elapsedSeconds;
      this.#block.print(renderLine(state));
    }
  }

  #state(): LiveState {
    const elapsedSeconds = (performance.now() - this.#beganAt) / 1_000;
    const current = PHASES.find(({ until }) => elapsedSeconds < until * this.#loadSeconds);
    return {
      elapsedSeconds,
      loadSeconds: this.#loadSeconds,
      phase: this.phase ?? current?.name ?? 'the load ends',
      pools: this.#pools.map(({ name }) => ({ name, samples: this.#watcher.samplesOf(name) })),
    };
  }
}
