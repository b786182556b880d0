import { chownSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type Child, startChild } from './child.ts';
import { makeOwnFolder, serverOwner } from './owner.ts';
import { freePort } from './ports.ts';
import { findRedis } from './programs.ts';
import { withProgress } from './progress.ts';

export interface RedisOptions {
  /** Made when missing; one that is there is used again, with its data. */
  dataDir: string;
  /** Defaults to a free one. */
  port?: number;
  /** Whether writes are kept on the disk. Defaults to false. */
  appendonly?: boolean;
}

export interface LocalRedis {
  url: string;
  port: number;
  pid: number;
  stop(): Promise<void>;
  /** SIGKILL to the server: a crash. */
  kill(): Promise<void>;
  /** Starts it again on the same port, after `stop` or `kill`, or stopping it first. */
  restart(): Promise<void>;
}

/** A Redis of our own on 127.0.0.1 without eviction, which ends with this process. */
export async function startRedis(options: RedisOptions): Promise<LocalRedis> {
  const command = await findRedis();
  const owner = serverOwner();
  const dataDir = makeOwnFolder(resolve(options.dataDir), owner);
  const logFile = join(dataDir, 'redis.log');
  if (!existsSync(logFile)) writeFileSync(logFile, '');
  if (owner !== undefined) chownSync(logFile, owner.uid, owner.gid);
  const port = options.port ?? (await freePort());
  const url = `redis://127.0.0.1:${port}`;
  const appendonly = options.appendonly ? 'yes' : 'no';
  const settings = {
    bind: '127.0.0.1',
    port,
    dir: dataDir,
    save: '',
    appendonly,
    'maxmemory-policy': 'noeviction',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const start = async () => {
    const child = await startChild({ command, args, stopSignal: 'TERM', logFile, user: owner });
    await withProgress('Starting Redis', () => untilReady(url, child, logFile));
    return child;
  };
  let child = await start();
  return {
    url,
    port,
    get pid() {
      return child.pid;
    },
    stop: () => child.stop(),
    kill: () => child.kill(),
    async restart() {
      if (!child.hasExited()) await child.stop();
      child = await start();
    },
  };
}

async function untilReady(url: string, child: Child, logFile: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    if (await answers(url)) return;
    if (child.hasExited() || performance.now() > deadline) {
      await child.kill();
      throw new Error(
        `Redis did not start; the end of ${logFile}:\n${readFileSync(logFile, 'utf8').split('\n').slice(-15).join('\n')}`,
      );
    }
    await delay(25);
  }
}

async function answers(url: string): Promise<boolean> {
  const client = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: 1_000,
    commandTimeout: 1_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.ping()) === 'PONG';
  } catch {
    return false;
  } finally {
    client.disconnect();
  }
}
