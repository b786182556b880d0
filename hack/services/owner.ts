import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, mkdirSync } from 'node:fs';

export interface Owner {
  uid: number;
  gid: number;
}

/** Who servers run as: nobody special when we are not root; else `postgres` or `nobody`, since PostgreSQL refuses root. */
export function serverOwner(): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    const uid = spawnSync('id', ['-u', name], { encoding: 'utf8' });
    const gid = spawnSync('id', ['-g', name], { encoding: 'utf8' });
    if (uid.status === 0 && gid.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new Error(
    'There is neither a user "postgres" nor "nobody" to run PostgreSQL as; root may not run it',
  );
}

/** Makes a folder that the owner alone can read. */
export function makeOwnFolder(path: string, owner: Owner | undefined): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (owner === undefined) return;
  chownSync(path, owner.uid, owner.gid);
  const reachable = spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', path], { ...owner, cwd: '/' });
  if (reachable.status !== 0) {
    throw new Error(
      `User ${owner.uid}, whom servers run as, cannot enter ${path}: a folder above it is closed to others (as /root is). Move the project, or do not run as root.`,
    );
  }
}

/** The command line of a process; undefined when there is no such process. */
export function commandLineOf(pid: number): string | undefined {
  try {
    return execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}
