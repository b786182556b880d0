import { expect, test } from 'vitest';
import { parseMetrics, sumOf } from './cluster-reader.ts';

const TEXT = `# HELP jobs_total Jobs
# TYPE jobs_total counter
jobs_total{type="a",status="SUCCESS"} 3
jobs_total{type="b",status="SUCCESS"} 4
jobs_total{type="a",status="a \\"quoted\\", one"} 1.5e+01
jobs_totally 1
other 9
`;

test('metrics are read with their labels, those of other names are not', () => {
  const samples = parseMetrics(TEXT, 'jobs_');
  expect(samples).toHaveLength(4);
  expect(samples[2]).toEqual({
    name: 'jobs_total',
    labels: { type: 'a', status: 'a \\"quoted\\", one' },
    value: 15,
  });
});

test('a sum takes the same name and fitting labels alone', () => {
  const samples = parseMetrics(TEXT, '');
  expect(sumOf(samples, 'jobs_total')).toBe(22);
  expect(sumOf(samples, 'jobs_total', { status: 'SUCCESS' })).toBe(7);
  expect(sumOf(samples, 'jobs_total', { type: 'a', status: 'SUCCESS' })).toBe(3);
  expect(sumOf(samples, 'none')).toBe(0);
});
