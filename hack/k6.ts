import { execFile } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withProgress } from './services/progress.ts';
import { versionOf } from './versions.ts';

const VERSION = versionOf('K6_VERSION');

/**
 * The path of k6: `K6`, the one on the PATH, or one built from its Go module, which takes some minutes the first time.
 * Rejects with what to do where neither is possible.
 */
export async function findK6(): Promise<string> {
  const run = promisify(execFile);
  for (const candidate of [process.env.K6, 'k6'].filter((path) => path !== undefined)) {
    if (
      await run(candidate, ['version']).then(
        () => true,
        () => false,
      )
    )
      return candidate;
  }
  const folder = join(process.env.LONGSHORE_CACHE ?? join(homedir(), '.cache/longshore'), 'k6');
  const built = join(folder, 'k6');
  if (existsSync(built)) return built;
  mkdirSync(folder, { recursive: true });
  await withProgress(`Building k6 ${VERSION} from its Go module`, () =>
    run('go', ['install', `go.k6.io/k6@${VERSION}`], {
      env: { ...process.env, GOBIN: folder, CGO_ENABLED: '0' },
    }),
  ).catch((error: Error) => {
    throw new Error(
      `k6 is missing and could not be built (${error.message.split('\n')[0]}): install it from https://k6.io`,
    );
  });
  return built;
}
