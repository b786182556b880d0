import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';

export const CLI = resolve(import.meta.dirname, '../../src/cli/main.ts');

/** Runs a command of the CLI to its end; rejects with what it printed. */
export async function runCli(
  args: readonly string[],
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<string> {
  const options = { env: { ...process.env, ...env }, timeout: 120_000, signal };
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, ...args], options).catch((error) => {
    signal.throwIfAborted();
    throw new Error(
      `"longshore ${args.join(' ')}" failed:\n${error.stdout ?? ''}${error.stderr ?? error.message}`,
    );
  });
  return stdout.trim();
}
