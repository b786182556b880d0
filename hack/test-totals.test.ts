import { expect, it } from 'vitest';
import { formatTotals, readReport } from './test-totals.ts';

function run(
  passed: number,
  failed: number,
  code: number,
  files: { status: string; tests: string[] }[] = [],
) {
  const text = JSON.stringify({
    numPassedTests: passed,
    numFailedTests: failed,
    numPendingTests: 0,
    numTodoTests: 0,
    testResults: files.map(({ status, tests }) => ({
      status,
      assertionResults: tests.map((test) => ({ status: test })),
    })),
  });
  return readReport({ project: 'unit', seconds: 1.5, code, text });
}

it('believes a run that ended well and ran something', () => {
  expect(run(3, 0, 0).ok).toBe(true);
  expect(run(0, 0, 0).ok).toBe(false);
  expect(run(3, 0, 1).ok).toBe(false);
  expect(run(2, 1, 0).ok).toBe(false);
});

it('counts a file that did not load as a failure, and one with a failed test not twice', () => {
  expect(run(3, 0, 1, [{ status: 'failed', tests: [] }])).toMatchObject({ failed: 1, ok: false });
  expect(run(3, 1, 1, [{ status: 'failed', tests: ['failed', 'passed'] }])).toMatchObject({ failed: 1 });
});

it('counts a run without a report as a failure', () => {
  expect(readReport({ project: 'unit', seconds: 1, code: 0, text: undefined })).toMatchObject({
    failed: 1,
    ok: false,
  });
});

it('ends with the plain sum', () => {
  const integration = { project: 'integration', passed: 2, failed: 1, skipped: 1, seconds: 2, ok: false };
  expect(formatTotals([run(3, 0, 0), integration]).split('\n')).toEqual([
    'unit: 3 passed, 0 failed in 1.5 s',
    'integration: 2 passed, 1 failed, 1 skipped in 2.0 s (FAILED)',
    '5 passed, 1 failed, 1 skipped',
  ]);
});
