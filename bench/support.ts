import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Stack, type StackOptions, startStack } from '../hack/stack/stack.ts';
import { createTable } from '../src/cli/table.ts';

export const ROOT = resolve(import.meta.dirname, '..');

/** Settings of a stack whose contracts come from a stand-in without limits. */
export const UNLIMITED = {
  LONGSHORE_ETHERSCAN_API_KEY: 'stand-in',
  LONGSHORE_ETHERSCAN_CALLS_PER_SECOND: '0',
  LONGSHORE_ETHERSCAN_CALLS_PER_DAY: '0',
  LONGSHORE_KEY_RATE_PER_SECOND: '100000',
  LONGSHORE_KEY_BURST: '100000',
};

/** Runs `work` on a Longshore of its own in a folder of its own; stops and removes both. */
export async function withStack<T>(
  options: Omit<StackOptions, 'dataDir'>,
  work: (stack: Stack) => Promise<T>,
): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), 'longshore-bench-'));
  chmodSync(dataDir, 0o755);
  const provider = spawn(process.execPath, [join(ROOT, 'test/support/fake-etherscan.ts'), '--unlimited'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stack: Stack | undefined;
  try {
    const [line] = (await once(provider.stdout, 'data')) as [Buffer];
    const env = { ...UNLIMITED, LONGSHORE_ETHERSCAN_URL: line.toString().trim(), ...options.env };
    stack = await startStack({ ...options, dataDir, env });
    return await stack.during(work(stack));
  } finally {
    await stack?.stop();
    provider.kill();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** One request; throws with the answer when it is not of the 2xx. */
export async function call<T>(stack: Stack, path: string, init: RequestInit = {}): Promise<T> {
  const answer = await fetch(`${stack.apiUrl}${path}`, {
    ...init,
    headers: {
      ...(stack.apiKey === null ? {} : { authorization: `Bearer ${stack.apiKey}` }),
      ...(init.body === undefined || init.body instanceof FormData
        ? {}
        : { 'content-type': 'application/json' }),
    },
    signal: AbortSignal.timeout(30_000),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${text}`);
  return JSON.parse(text) as T;
}

/** The value below which `q` (0…1) of the values lie. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

/** Prints the figures, and keeps them in `<folder>/results/<name>.json`. */
export function report(name: string, figures: Record<string, string | number>, folder = 'bench'): void {
  const table = createTable(['what', 'figure']);
  for (const [what, figure] of Object.entries(figures)) table.push([what, String(figure)]);
  console.log(`\n${name}: ${cpus().length} processors (${cpus()[0]?.model}), ${new Date().toISOString()}`);
  console.log(table.toString());
  mkdirSync(join(ROOT, folder, 'results'), { recursive: true });
  writeFileSync(join(ROOT, folder, 'results', `${name}.json`), `${JSON.stringify(figures, null, 2)}\n`);
}

export const ms = (value: number): string => `${value.toFixed(1)} ms`;
