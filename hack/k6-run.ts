import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findK6 } from './k6.ts';

/** What k6 measured; times in milliseconds. */
export interface K6Summary {
  requests: number;
  /** Over the whole run. */
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Requests without an answer, or with one of an error. */
  failed: number;
  /** Checks that passed: jobs that were accepted. */
  accepted: number;
  /** Arrivals that no virtual user was free for: the load was less than it says. */
  dropped: number;
}

type Metrics = Record<string, Record<string, number> | undefined>;

/** Runs a script to its end, however it judges it; rejects with its last words when it could not run, or at `signal`. */
export async function runK6(
  script: string,
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<K6Summary> {
  const k6 = await findK6();
  const folder = mkdtempSync(join(tmpdir(), 'longshore-k6-'));
  const [summary, log] = [join(folder, 'summary.json'), join(folder, 'k6.log')];
  try {
    const output = openSync(log, 'w');
    const child = spawn(k6, ['run', '--quiet', '--no-color', '--summary-export', summary, script], {
      stdio: ['ignore', output, output],
      env: { ...process.env, ...env },
    });
    const stop = () => child.kill('SIGINT');
    signal.addEventListener('abort', stop);
    const [code] = (await once(child, 'exit').finally(() => signal.removeEventListener('abort', stop))) as [
      number | null,
    ];
    signal.throwIfAborted();
    // 99: a threshold was crossed, which the summary tells as well.
    if (code !== 0 && code !== 99)
      throw new Error(
        `k6 ended with ${code}:\n${readFileSync(log, 'utf8').split('\n').slice(-15).join('\n')}`,
      );
    return readSummary((JSON.parse(readFileSync(summary, 'utf8')) as { metrics: Metrics }).metrics);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readSummary(metrics: Metrics): K6Summary {
  const value = (metric: string, field: string) => metrics[metric]?.[field] ?? 0;
  return {
    requests: value('http_reqs', 'count'),
    requestsPerSecond: value('http_reqs', 'rate'),
    p50Ms: value('http_req_duration', 'med'),
    p99Ms: value('http_req_duration', 'p(99)'),
    // The rate's "passes" are the requests that failed.
    failed: value('http_req_failed', 'passes'),
    accepted: value('checks', 'passes'),
    dropped: value('dropped_iterations', 'count'),
  };
}
