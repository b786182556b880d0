import { resolve } from 'node:path';
import { Redis } from 'ioredis';
import { makeOwnFolder, serverOwner } from './owner.ts';
import { freePort } from './ports.ts';
import { findRedis } from './programs.ts';
import { type LocalServer, makeLogFile, type ServerOptions, startServer } from './server.ts';

export interface RedisOptions extends ServerOptions {
  /** Whether writes are kept on the disk. Defaults to false. */
  appendonly?: boolean;
}

/** A Redis of our own on 127.0.0.1 without eviction, which ends with this process. */
export async function startRedis(options: RedisOptions): Promise<LocalServer> {
  const command = await findRedis();
  const owner = serverOwner();
  const dataDir = makeOwnFolder(resolve(options.dataDir), owner);
  const port = options.port ?? (await freePort());
  const url = `redis://127.0.0.1:${port}`;
  const settings = {
    bind: '127.0.0.1',
    port,
    dir: dataDir,
    save: '',
    appendonly: options.appendonly ? 'yes' : 'no',
    'maxmemory-policy': 'noeviction',
  };
  return startServer({
    name: 'Redis',
    url,
    port,
    command,
    args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]),
    stopSignal: 'TERM',
    logFile: makeLogFile(dataDir, 'redis.log', owner),
    owner,
    startTimeoutMs: 30_000,
    probe: () => ping(url),
    onDeath: options.onDeath,
  });
}

async function ping(url: string): Promise<string | undefined> {
  const client = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: 1_000,
    commandTimeout: 1_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.ping();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    client.disconnect();
  }
}
