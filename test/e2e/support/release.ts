import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findHelm } from '../../../hack/helm.ts';
import { type Installed, ROOT } from './world.ts';

/** Helm on the release under test; resolves with what it printed. */
export async function helm(installed: Installed, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(
    await findHelm(),
    [...args, '--namespace', installed.systemNamespace],
    { env: { ...process.env, KUBECONFIG: installed.kubeconfig } },
  );
  return stdout;
}

/** The same chart with some values changed; resolves when everything is ready. */
export function upgrade(
  installed: Installed,
  values: Readonly<Record<string, string | number | boolean>>,
): Promise<string> {
  const chart = fileURLToPath(new URL('charts/longshore', ROOT));
  const sets = Object.entries(values).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  return helm(
    installed,
    ...['upgrade', installed.release, chart, '--reuse-values', '--wait', '--timeout', '4m'],
    ...sets,
  );
}
