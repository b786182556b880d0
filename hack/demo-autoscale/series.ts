import type { Point } from './plot.ts';

/** When a job came, first ran and ended, by the ledger; milliseconds since the epoch. */
export interface JobTimes {
  acceptedAtMs: number;
  startedAtMs: number | null;
  finishedAtMs: number | null;
}

/** How the jobs of one pool went over time. */
export interface JobSeries {
  /** Accepted, not started. */
  waiting: Point[];
  running: Point[];
  /** A second, as the mean of one step; a point is in the middle of its step. */
  submitted: Point[];
  finished: Point[];
}

export interface Span {
  startMs: number;
  endMs: number;
  /** Width over which rates are means. */
  stepMs: number;
}

/** Counts jobs as they stood at each second, and those that came and went in each step. */
export function toSeries(jobs: readonly JobTimes[], span: Span): JobSeries {
  const accepted = sorted(jobs.map((job) => job.acceptedAtMs));
  const started = sorted(jobs.map((job) => job.startedAtMs ?? job.finishedAtMs));
  const finished = sorted(jobs.map((job) => job.finishedAtMs));
  const waiting: Point[] = [];
  const running: Point[] = [];
  for (let atMs = span.startMs; atMs <= span.endMs; atMs += 1_000) {
    const seconds = (atMs - span.startMs) / 1_000;
    const [came, ran, went] = [accepted, started, finished].map((times) => countUntil(times, atMs));
    waiting.push([seconds, (came ?? 0) - (ran ?? 0)]);
    running.push([seconds, (ran ?? 0) - (went ?? 0)]);
  }
  return { waiting, running, submitted: rates(accepted, span), finished: rates(finished, span) };
}

/** A second, in steps. The last step may be cut short; it is divided by what there is of it. */
function rates(times: readonly number[], { startMs, endMs, stepMs }: Span): Point[] {
  const points: Point[] = [];
  for (let fromMs = startMs; fromMs < endMs; fromMs += stepMs) {
    const toMs = Math.min(fromMs + stepMs, endMs);
    const seconds = (toMs - fromMs) / 1_000;
    const count = countUntil(times, toMs) - countUntil(times, fromMs);
    points.push([(fromMs - startMs) / 1_000 + seconds / 2, count / seconds]);
  }
  return points;
}

/** How many of the sorted times are at or before `atMs`. */
function countUntil(times: readonly number[], atMs: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((times[middle] ?? 0) <= atMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

function sorted(times: readonly (number | null)[]): number[] {
  return times.filter((time) => time !== null).toSorted((a, b) => a - b);
}
