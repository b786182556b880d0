import { chownSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { makeOwnFolder, serverOwner } from './owner.ts';
import { freePort } from './ports.ts';
import { findHaproxy } from './programs.ts';
import { type LocalServer, makeLogFile, type ServerOptions, startServer } from './server.ts';

export interface HaproxyOptions extends ServerOptions {
  /** Where connections go: the first that answers, the others when it does not. */
  targets: readonly { host: string; port: number }[];
  /** `spread`: round them all. Defaults to `failover`. */
  mode?: 'failover' | 'spread';
}

/** HAProxy before servers of this machine, by TCP. Connections to a server that is found dead are cut. */
export async function startHaproxy(options: HaproxyOptions): Promise<LocalServer> {
  const owner = serverOwner();
  const dataDir = makeOwnFolder(resolve(options.dataDir), owner);
  const port = options.port ?? (await freePort());
  const config = join(dataDir, 'haproxy.cfg');
  writeFileSync(config, configuration(options, port));
  if (owner !== undefined) chownSync(config, owner.uid, owner.gid);
  return startServer({
    name: 'HAProxy',
    url: `tcp://127.0.0.1:${port}`,
    port,
    command: await findHaproxy(),
    args: ['-db', '-f', config],
    stopSignal: 'TERM',
    logFile: makeLogFile(dataDir, 'haproxy.log', owner),
    owner,
    startTimeoutMs: 10_000,
    probe: () => refusalOf(port),
    onDeath: options.onDeath,
  });
}

function configuration({ targets, mode = 'failover' }: HaproxyOptions, port: number): string {
  const servers = targets.map(({ host, port: target }, index) => {
    const backup = mode === 'failover' && index > 0 ? ' backup' : '';
    return `  server s${index + 1} ${host}:${target} check inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions${backup}`;
  });
  return `global
  maxconn 4000
defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  option redispatch
  retries 2
listen all
  bind 127.0.0.1:${port}
  balance roundrobin
${servers.join('\n')}
`;
}

/** What keeps the port from taking connections. */
function refusalOf(port: number): Promise<string | undefined> {
  return new Promise((resolveProbe) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolveProbe(undefined);
    });
    socket.once('error', (error) => resolveProbe(error.message));
  });
}
