import type { ListedJob } from '../cluster/job-listing.ts';
import type { K6Summary } from '../k6-run.ts';
import type { AutoscaleChart, PoolChart } from './chart.ts';
import type { DemoPool } from './plan.ts';
import { formatNumber, type Point } from './plot.ts';
import { type JobTimes, toSeries } from './series.ts';
import type { Sample } from './watcher.ts';

/** Everything that was seen. */
export interface DemoResult {
  pools: readonly { pool: DemoPool; samples: readonly Sample[]; jobs: readonly ListedJob[] }[];
  k6: K6Summary;
  startMs: number;
  endMs: number;
  /** Of the load; what follows is the queue that empties, and the pods that go. */
  phases: readonly { name: string; untilSeconds: number }[];
  /** Of what, where and when. */
  subtitle: string;
}

/** Rates are means of a sixtieth of the picture: finer ones would be noise. */
const STEPS = 60;

export function toChart(result: DemoResult): AutoscaleChart {
  const { k6, startMs, endMs, pools } = result;
  const seconds = Math.ceil((endMs - startMs) / 1_000);
  const stepMs = Math.max(1, Math.round(seconds / STEPS)) * 1_000;
  const jobs = pools.flatMap((pool) => pool.jobs);
  const succeeded = jobs.filter(({ status }) => status === 'SUCCESS').length;
  return {
    title: 'Pods come when work waits, and leave when it is done',
    subtitle: result.subtitle,
    seconds,
    phases: [
      ...result.phases,
      ...((result.phases.at(-1)?.untilSeconds ?? 0) < seconds
        ? [{ name: 'no load', untilSeconds: seconds }]
        : []),
    ],
    figures: [
      { label: 'requests of k6', value: formatNumber(k6.requests) },
      { label: 'requests/s, mean', value: formatNumber(k6.requestsPerSecond) },
      { label: 'time to the answer, p50', value: `${formatNumber(k6.p50Ms)} ms` },
      { label: 'time to the answer, p99', value: `${formatNumber(k6.p99Ms)} ms` },
      { label: 'errors (and arrivals left out)', value: `${k6.failed} (${k6.dropped})` },
      {
        label: 'of the accepted jobs in SUCCESS',
        value: `${formatNumber(succeeded)} of ${formatNumber(k6.accepted)}`,
      },
    ],
    pools: pools.map((pool) => toPoolChart(pool, { startMs, endMs: startMs + seconds * 1_000, stepMs })),
    footnote: `Queue and throughput: every job of GET /v1/jobs by its createdAt, startedAt and finishedAt, jobs/s as means of ${stepMs / 1_000} s. Replicas: each Deployment’s spec.replicas and readyReplicas, read once a second.`,
  };
}

function toPoolChart(
  { pool, samples, jobs }: DemoResult['pools'][number],
  span: { startMs: number; endMs: number; stepMs: number },
): PoolChart {
  // How it stood when the picture begins is what was seen last before.
  const before = samples.findLast(({ atMs }) => atMs < span.startMs);
  const during = samples.filter(({ atMs }) => atMs >= span.startMs && atMs <= span.endMs);
  const shown = before === undefined ? during : [{ ...before, atMs: span.startMs }, ...during];
  const over = (of: (sample: Sample) => number): Point[] =>
    shown.map((sample) => [(sample.atMs - span.startMs) / 1_000, of(sample)]);
  const times = jobs.map(toTimes);
  const first = times.toSorted((a, b) => a.acceptedAtMs - b.acceptedAtMs)[0];
  const starts = times.map(({ startedAtMs }) => startedAtMs).filter((startedAtMs) => startedAtMs !== null);
  return {
    name: pool.name,
    caption: pool.caption,
    firstStartSeconds:
      first === undefined || starts.length === 0
        ? null
        : (starts.reduce((least, at) => Math.min(least, at)) - first.acceptedAtMs) / 1_000,
    ...toSeries(times, span),
    wanted: over(({ wanted }) => wanted),
    ready: over(({ ready }) => ready),
  };
}

function toTimes({ createdAt, startedAt, finishedAt }: ListedJob): JobTimes {
  const parse = (text: string | null) => (text === null ? null : Date.parse(text));
  return {
    acceptedAtMs: Date.parse(createdAt),
    startedAtMs: parse(startedAt),
    finishedAtMs: parse(finishedAt),
  };
}

/** What keeps the demo from being a success, for people; none when there is nothing. */
export function findProblems({ pools, k6 }: Pick<DemoResult, 'pools' | 'k6'>): string[] {
  const jobs = pools.flatMap((pool) => pool.jobs);
  const others = Map.groupBy(
    jobs.filter(({ status }) => status !== 'SUCCESS'),
    ({ type, status }) => `${type} ended in ${status}`,
  );
  return [
    ...[...others].map(([what, some]) => `${some.length} jobs of ${what}, such as ${some[0]?.id}`),
    ...(k6.failed === 0 ? [] : [`${k6.failed} requests failed`]),
    ...(jobs.length >= k6.accepted
      ? []
      : [`${k6.accepted} jobs were accepted, but only ${jobs.length} are known`]),
    ...(k6.accepted > 0 ? [] : ['No job was accepted']),
  ];
}
