import { z } from 'zod';

export interface Totals {
  project: string;
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
  /** Whether the run as a whole can be believed: it ended well, and it ran something. */
  ok: boolean;
}

const report = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
  testResults: z.array(
    z.object({ status: z.string(), assertionResults: z.array(z.object({ status: z.string() })) }),
  ),
});

/** Reads Vitest's JSON report. A file that failed without one failed test (it did not load) counts as one failure. */
export function readReport(run: {
  project: string;
  seconds: number;
  code: number | null;
  text: string | undefined;
}): Totals {
  const { project, seconds, code, text } = run;
  if (text === undefined) return { project, seconds, passed: 0, failed: 1, skipped: 0, ok: false };
  const found = report.parse(JSON.parse(text));
  const unloaded = found.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  ).length;
  const passed = found.numPassedTests;
  const failed = found.numFailedTests + unloaded;
  return {
    project,
    seconds,
    passed,
    failed,
    skipped: found.numPendingTests + found.numTodoTests,
    ok: code === 0 && failed === 0 && passed > 0,
  };
}

/** A line for each project, and the plain sum as the last line. */
export function formatTotals(totals: readonly Totals[]): string {
  const lines = totals.map(
    (one) => `${one.project}: ${counts(one)} in ${one.seconds.toFixed(1)} s${one.ok ? '' : ' (FAILED)'}`,
  );
  return [...lines, counts(sum(totals))].join('\n');
}

function counts({ passed, failed, skipped }: Pick<Totals, 'passed' | 'failed' | 'skipped'>): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

function sum(totals: readonly Totals[]): Pick<Totals, 'passed' | 'failed' | 'skipped'> {
  const add = (key: 'passed' | 'failed' | 'skipped') => totals.reduce((total, one) => total + one[key], 0);
  return { passed: add('passed'), failed: add('failed'), skipped: add('skipped') };
}
