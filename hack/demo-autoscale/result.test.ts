import { describe, expect, test } from 'vitest';
import type { ListedJob } from '../cluster/job-listing.ts';
import { findProblems, toChart } from './result.ts';

const START = Date.parse('2026-01-01T00:00:00.000Z');
const at = (seconds: number) => new Date(START + seconds * 1_000).toISOString();

function job(accepted: number, started: number, status: ListedJob['status'] = 'SUCCESS'): ListedJob {
  return {
    id: `job-${accepted}`,
    type: 'greet',
    status,
    attempt: 1,
    failures: 0,
    createdAt: at(accepted),
    admittedAt: at(accepted),
    startedAt: at(started),
    finishedAt: at(started + 1),
  };
}

const k6 = { requests: 2, requestsPerSecond: 0.1, p50Ms: 4, p99Ms: 9, failed: 0, accepted: 2, dropped: 0 };
const pool = {
  name: 'greeters',
  type: 'greet',
  caption: '',
  peakRate: 1,
  submit: { input: {} },
  spec: {},
};
const sample = (seconds: number, ready: number) => ({
  ...{ atMs: START + seconds * 1_000, waiting: 0, active: 0, wanted: 1, finishedPerSecond: 0 },
  ready,
});
const result = {
  pools: [
    {
      pool,
      samples: [sample(-5, 0), sample(1, 0), sample(3, 1)],
      // The newest first, as the API lists them.
      jobs: [job(10, 10.1), job(0, 2.5)],
    },
  ],
  k6,
  startMs: START,
  endMs: START + 30_000,
  phases: [{ name: 'raising', untilSeconds: 20 }],
  subtitle: '',
};

describe('what is drawn', () => {
  const chart = toChart(result);

  test('goes from the first job to the end, beginning with what was seen last before', () => {
    expect(chart.seconds).toBe(30);
    expect(chart.pools[0]?.ready).toEqual([
      [0, 0],
      [1, 0],
      [3, 1],
    ]);
    expect(chart.phases).toEqual([
      { name: 'raising', untilSeconds: 20 },
      { name: 'no load', untilSeconds: 30 },
    ]);
  });

  test('says how long the first job waited for a pod', () => {
    expect(chart.pools[0]?.firstStartSeconds).toBe(2.5);
  });

  test('counts the jobs that wait', () => {
    expect(chart.pools[0]?.waiting.filter(([, jobs]) => jobs === 1).map(([seconds]) => seconds)).toEqual([
      0, 1, 2, 10,
    ]);
  });

  test('has the summary', () => {
    expect(chart.figures.map(({ value }) => value)).toEqual(['2', '0.1', '4 ms', '9 ms', '0 (0)', '2 of 2']);
  });
});

describe('a problem', () => {
  const withJobs = (...jobs: ListedJob[]) => ({ pools: [{ pool, samples: [], jobs }], k6 });

  test('is none when all ended well', () => {
    expect(findProblems(result)).toEqual([]);
  });

  test.each(['ERROR', 'CANCELLED', 'CREATED', 'PROCESS'] as const)('is a job in %s', (status) => {
    expect(findProblems(withJobs(job(0, 1), job(1, 2, status)))).toEqual([
      `1 jobs of greet ended in ${status}, such as job-1`,
    ]);
  });

  test('is an accepted job that nobody knows', () => {
    expect(findProblems(withJobs(job(0, 1)))).toEqual(['2 jobs were accepted, but only 1 are known']);
  });

  test('is a failed request', () => {
    expect(findProblems({ ...result, k6: { ...k6, failed: 3 } })).toEqual(['3 requests failed']);
  });

  test('is no job at all', () => {
    expect(findProblems({ pools: [], k6: { ...k6, accepted: 0 } })).toEqual(['No job was accepted']);
  });
});
