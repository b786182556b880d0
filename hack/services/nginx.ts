import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { makeOwnFolder, serverOwner } from './owner.ts';
import { freePort } from './ports.ts';
import { findNginx } from './programs.ts';
import { type LocalServer, makeLogFile, type ServerOptions, startServer } from './server.ts';

/** nginx before HTTP servers of this machine, round them all. A request that was sent is never sent to another one: only its client knows whether it may be. */
export async function startNginx(
  options: ServerOptions & { targets: readonly string[] },
): Promise<LocalServer> {
  const owner = serverOwner();
  const dataDir = makeOwnFolder(resolve(options.dataDir), owner);
  for (const folder of ['body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']) {
    mkdirSync(join(dataDir, folder), { recursive: true });
    if (owner !== undefined) chownSync(join(dataDir, folder), owner.uid, owner.gid);
  }
  const port = options.port ?? (await freePort());
  const config = join(dataDir, 'nginx.conf');
  writeFileSync(config, configuration(dataDir, port, options.targets));
  if (owner !== undefined) chownSync(config, owner.uid, owner.gid);
  const url = `http://127.0.0.1:${port}`;
  return startServer({
    name: 'nginx',
    url,
    port,
    command: await findNginx(),
    args: ['-c', config, '-p', dataDir, '-e', join(dataDir, 'error.log')],
    stopSignal: 'TERM',
    logFile: makeLogFile(dataDir, 'nginx.log', owner),
    owner,
    startTimeoutMs: 10_000,
    probe: () =>
      fetch(url, { signal: AbortSignal.timeout(1_000) }).then(
        async (answer) => void (await answer.text()),
        (error: Error) => error.message,
      ),
    onDeath: options.onDeath,
  });
}

function configuration(dataDir: string, port: number, targets: readonly string[]): string {
  const servers = targets.map((target) => `server ${new URL(target).host} max_fails=1 fail_timeout=1s;`);
  return `daemon off;
worker_processes 1;
pid ${dataDir}/nginx.pid;
error_log ${dataDir}/error.log warn;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${dataDir}/body;
  proxy_temp_path ${dataDir}/proxy;
  fastcgi_temp_path ${dataDir}/fastcgi;
  uwsgi_temp_path ${dataDir}/uwsgi;
  scgi_temp_path ${dataDir}/scgi;
  keepalive_requests 1000000;
  upstream apis {
    ${servers.join('\n    ')}
    keepalive 256;
    keepalive_requests 1000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=2048;
    location / {
      proxy_pass http://apis;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_connect_timeout 1s;
      proxy_next_upstream error timeout;
    }
  }
}
`;
}
