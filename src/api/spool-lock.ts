import { type FileHandle, open, readFile, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

/** Which process of this machine has a folder. Pids begin anew in each container, so the host's name is part of it. */
export class SpoolLock {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Rejects when a living process of this machine has the folder; a lock of a dead one, or of another host, is taken over. */
  static async take(dir: string): Promise<SpoolLock> {
    const path = join(dir, 'lock');
    for (let tries = 1; ; tries += 1) {
      try {
        const file: FileHandle = await open(path, 'wx');
        await file.writeFile(`${hostname()} ${process.pid}`);
        await file.close();
        return new SpoolLock(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || tries > 3) throw error;
        const [host, pid] = (await readFile(path, 'utf8').catch(() => '')).split(' ');
        if (host === hostname() && Number(pid) !== process.pid && isAlive(Number(pid)))
          throw new Error(
            `Process ${pid} uses the spool ${dir} already: each API process needs a folder of its own`,
          );
        await unlink(path).catch(() => {});
      }
    }
  }

  async release(): Promise<void> {
    await unlink(this.#path).catch(() => {});
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
