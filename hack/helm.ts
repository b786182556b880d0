import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withProgress } from './services/progress.ts';
import { versionOf } from './versions.ts';

const run = promisify(execFile);
const VERSION = versionOf('HELM_VERSION');
const GO_BUILD = join(import.meta.dirname, 'kube/go-build.sh');
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/**
 * The path of Helm: `HELM`, the one on the PATH, what an earlier run left, the official archive with its checksum
 * verified, or one built from its Go module, which takes some minutes. Rejects with what to do where none is possible.
 */
export async function findHelm(): Promise<string> {
  for (const candidate of [process.env.HELM, 'helm'].filter((path) => path !== undefined && path !== '')) {
    const answer = await run(candidate as string, ['version', '--short']).catch(() => undefined);
    if (answer !== undefined) return candidate as string;
  }
  const cache = process.env.LONGSHORE_CACHE ?? join(homedir(), '.cache/longshore');
  const target = join(cache, 'helm', `helm-${VERSION}`);
  if (existsSync(target)) return target;
  mkdirSync(join(cache, 'helm'), { recursive: true });
  // Beside the target, so that it becomes the target in one step: two runs may obtain it at once.
  const folder = mkdtempSync(join(cache, 'helm', 'new-'));
  try {
    await download(folder).catch(() => build(folder));
    renameSync(join(folder, 'helm'), target);
  } catch (error) {
    const [reason] = String(error).split('\n');
    throw new Error(
      `Helm is missing and could be neither downloaded nor built (${reason}): install it from https://helm.sh, or Go`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return target;
}

async function download(folder: string): Promise<void> {
  const platform = `${process.platform}-${ARCHITECTURES[process.arch]}`;
  const url = `https://get.helm.sh/helm-${VERSION}-${platform}.tar.gz`;
  const sum = await get(`${url}.sha256sum`, 10_000);
  const archive = await withProgress(`Downloading Helm ${VERSION}`, () => get(url, 300_000));
  const hash = createHash('sha256').update(archive).digest('hex');
  if (!sum.toString().startsWith(hash)) throw new Error('The archive of Helm does not have its checksum');
  writeFileSync(join(folder, 'helm.tar.gz'), archive);
  await run('tar', ['xzf', 'helm.tar.gz', '--strip-components=1', `${platform}/helm`], { cwd: folder });
}

async function get(url: string, timeoutMs: number): Promise<Buffer> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return Buffer.from(await answer.arrayBuffer());
}

async function build(folder: string): Promise<void> {
  const script = `source "$1" && build_module "$2" helm.sh/helm/v3 "$HELM_VERSION" helm.sh/helm/v3/cmd/helm`;
  await withProgress(`Building Helm ${VERSION} from its Go module`, () =>
    run('bash', ['-euo', 'pipefail', '-c', script, 'bash', GO_BUILD, join(folder, 'helm')], {
      maxBuffer: 64 * 1_024 * 1_024,
    }),
  );
}
