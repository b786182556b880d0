import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chownSync, lstatSync, mkdirSync, readdirSync, readlinkSync, rmdirSync, symlinkSync } from 'node:fs';

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

/**
 * Makes a folder that the owner alone can read, and answers where it is: at `path`; or, when the owner cannot come there
 * because a folder above is closed to others (as /root is), under /var/tmp with a symbolic link at `path`.
 */
export function makeOwnFolder(path: string, owner: Owner | undefined): string {
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
  const folder = isLink ? readlinkSync(path) : path;
  if (isLink) refuseForeignFolder(folder, owner);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (owner === undefined) return folder;
  chownSync(folder, owner.uid, owner.gid);
  if (canEnter(folder, owner)) return folder;
  if (isLink || readdirSync(folder).length > 0) {
    throw new Error(
      `User ${owner.uid}, whom servers run as, cannot enter ${folder}: a folder above it is closed`,
    );
  }
  const elsewhere = `/var/tmp/longshore-${createHash('sha256').update(path).digest('hex').slice(0, 16)}`;
  refuseForeignFolder(elsewhere, owner);
  rmdirSync(path);
  symlinkSync(elsewhere, path);
  return makeOwnFolder(path, owner);
}

function canEnter(folder: string, owner: Owner): boolean {
  return spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { ...owner, cwd: '/' }).status === 0;
}

/** Anybody may write in /var/tmp, so a folder there that someone else laid out is not used. */
function refuseForeignFolder(folder: string, owner: Owner | undefined): void {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (found.isDirectory() && [process.getuid?.(), owner?.uid].includes(found.uid)) return;
  throw new Error(`${folder} is not a folder of ours; remove it and try again`);
}

/** The command line of a process; undefined when there is no such process. */
export function commandLineOf(pid: number): string | undefined {
  try {
    return execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}
