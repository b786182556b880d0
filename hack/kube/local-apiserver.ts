import { execFile } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Agent } from 'undici';
import type { ChildEnd } from '../services/child.ts';
import { ChildProgram } from './child-program.ts';

export interface LocalApiserverOptions {
  /** Holds data, keys, ports and logs; an existing one continues where it was. A temporary folder when absent. */
  dataDir?: string;
  /** Folder with etcd and kube-apiserver; `hack/kube/build` finds or makes it when absent. */
  assetsDir?: string;
  /** Further arguments of kube-apiserver. */
  apiserverArgs?: string[];
  /** Puts the programs beyond a terminal's Ctrl-C, so that their starter can end first. Defaults to false. */
  detached?: boolean;
  /** How long kube-apiserver may take until it is ready. Defaults to 90,000. */
  readyTimeoutMs?: number;
  /** Called when a program ends and neither `stop` nor `kill` ended it. */
  onDeath?(program: 'etcd' | 'kube-apiserver', end: ChildEnd, logFile: string): void;
}

/** A kube-apiserver with its etcd on 127.0.0.1: RBAC on, no kubelet, scheduler or controller-manager. */
export interface LocalApiserver {
  readonly url: string;
  /** Of an administrator (group `system:masters`). */
  readonly kubeconfigPath: string;
  readonly token: string;
  readonly caPath: string;
  readonly dataDir: string;
  /** Ends both programs; forgets the data when the folder was temporary. */
  stop(): Promise<void>;
  /** SIGKILL, as a crash would; `restart` brings the program back. */
  kill(program: 'etcd' | 'kube-apiserver'): Promise<void>;
  /** Starts again whatever does not run, on the same data and ports. */
  restart(): Promise<void>;
  /** Makes etcd forget all revisions but the newest, as happens to every cluster each five minutes. */
  compact(): Promise<void>;
}

interface Ports {
  apiserver: number;
  etcdClient: number;
  etcdPeer: number;
}

/** The folder with etcd, kube-apiserver and kubectl, made at the first call of all (which may take minutes). */
export async function findKubeAssets(): Promise<string> {
  const script = join(import.meta.dirname, 'build');
  const { stdout } = await promisify(execFile)(script, { timeout: 1_800_000, encoding: 'utf8' });
  return stdout.trim();
}

async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer();
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** The ports of the last run when nothing else took them since: a kubeconfig in somebody's hands stays right. */
async function choosePorts(path: string): Promise<Ports> {
  const saved = await readFile(path, 'utf8').then(
    (text) => JSON.parse(text) as Ports,
    () => undefined,
  );
  if (saved !== undefined && (await Promise.all(Object.values(saved).map(isFree))).every(Boolean))
    return saved;
  const [apiserver = 0, etcdClient = 0, etcdPeer = 0] = await freePorts(3);
  const ports = { apiserver, etcdClient, etcdPeer };
  await writeFile(path, JSON.stringify(ports));
  return ports;
}

async function ensureSecrets(dataDir: string): Promise<string> {
  const tokenPath = join(dataDir, 'tokens.csv');
  const saved = await readFile(tokenPath, 'utf8').catch(() => undefined);
  if (saved !== undefined) return saved.slice(0, saved.indexOf(','));
  const token = randomBytes(24).toString('hex');
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  await writeFile(join(dataDir, 'service-account.key'), privateKey, { mode: 0o600 });
  await writeFile(tokenPath, `${token},admin,admin,"system:masters"\n`, { mode: 0o600 });
  return token;
}

function kubeconfig(url: string, caPath: string, token: string): string {
  return JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'longshore', cluster: { server: url, 'certificate-authority': caPath } }],
      users: [{ name: 'admin', user: { token } }],
      contexts: [
        { name: 'longshore', context: { cluster: 'longshore', user: 'admin', namespace: 'default' } },
      ],
      'current-context': 'longshore',
    },
    null,
    2,
  );
}

function etcdArgs(dataDir: string, ports: Ports): string[] {
  const client = `http://127.0.0.1:${ports.etcdClient}`;
  const peer = `http://127.0.0.1:${ports.etcdPeer}`;
  return [
    `--data-dir=${join(dataDir, 'etcd')}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    // Data of tests and demos: a power cut may take it, a slow disk must not slow it.
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
}

function apiserverArgs(dataDir: string, ports: Ports): string[] {
  return [
    `--etcd-servers=http://127.0.0.1:${ports.etcdClient}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${ports.apiserver}`,
    // kube-apiserver makes its own certificate here when there is none.
    `--cert-dir=${join(dataDir, 'pki')}`,
    `--token-auth-file=${join(dataDir, 'tokens.csv')}`,
    '--authorization-mode=RBAC',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${join(dataDir, 'service-account.key')}`,
    `--service-account-signing-key-file=${join(dataDir, 'service-account.key')}`,
    '--service-cluster-ip-range=10.0.0.0/24',
    // No controller-manager makes default service accounts, so pods must be accepted without them.
    '--disable-admission-plugins=ServiceAccount',
    '--endpoint-reconciler-type=none',
    '--allow-privileged=true',
  ];
}

async function waitUntilReady(
  url: string,
  token: string,
  program: ChildProgram,
  timeoutMs: number,
): Promise<void> {
  const agent = new Agent({ connect: { rejectUnauthorized: false, timeout: 2_000 }, connections: 1 });
  const deadline = Date.now() + timeoutMs;
  let seen = 'no answer';
  try {
    while (Date.now() < deadline) {
      if (!program.isRunning) throw new Error(`kube-apiserver ended early:\n${program.logTail()}`);
      try {
        const answer = await agent.request({
          origin: url,
          path: '/readyz',
          method: 'GET',
          headers: { authorization: `Bearer ${token}` },
          signal: AbortSignal.timeout(2_000),
        });
        seen = `${answer.statusCode} ${await answer.body.text()}`;
        if (answer.statusCode === 200) return;
      } catch (error) {
        seen = String(error);
      }
      await sleep(100);
    }
  } finally {
    await agent.destroy();
  }
  throw new Error(
    `kube-apiserver was not ready after ${timeoutMs} ms, last seen: ${seen}\n${program.logTail()}`,
  );
}

async function compactEtcd(port: number): Promise<void> {
  const call = async (path: string, body: object): Promise<{ header: { revision: string } }> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    if (!answer.ok) throw new Error(`etcd answered ${answer.status} to ${path}: ${await answer.text()}`);
    return (await answer.json()) as { header: { revision: string } };
  };
  const { header } = await call('/v3/kv/range', { key: 'AA==' });
  await call('/v3/kv/compaction', { revision: header.revision, physical: true });
}

/** Starts etcd and kube-apiserver and waits until they are ready. Rejects with the end of their log when they are not. */
export async function startLocalApiserver(options: LocalApiserverOptions = {}): Promise<LocalApiserver> {
  const assets = options.assetsDir ?? (await findKubeAssets());
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'longshore-kube-')));
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const token = await ensureSecrets(dataDir);
  const ports = await choosePorts(join(dataDir, 'ports.json'));
  const url = `https://127.0.0.1:${ports.apiserver}`;
  const kubeconfigPath = join(dataDir, 'kubeconfig');
  const caPath = join(dataDir, 'pki', 'apiserver.crt');
  await writeFile(kubeconfigPath, kubeconfig(url, caPath, token), { mode: 0o600 });

  const detached = options.detached ?? false;
  const etcd: ChildProgram = new ChildProgram({
    path: join(assets, 'etcd'),
    args: etcdArgs(dataDir, ports),
    logDir: dataDir,
    detached,
    onDeath: (end) => options.onDeath?.('etcd', end, etcd.logFile),
  });
  const apiserver: ChildProgram = new ChildProgram({
    path: join(assets, 'kube-apiserver'),
    args: [...apiserverArgs(dataDir, ports), ...(options.apiserverArgs ?? [])],
    logDir: dataDir,
    detached,
    onDeath: (end) => options.onDeath?.('kube-apiserver', end, apiserver.logFile),
  });
  const start = async (): Promise<void> => {
    if (!etcd.isRunning) await etcd.start();
    if (!apiserver.isRunning) await apiserver.start();
    await waitUntilReady(url, token, apiserver, options.readyTimeoutMs ?? 90_000);
  };
  const stop = async (): Promise<void> => {
    await apiserver.stop();
    await etcd.stop();
    if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url,
    kubeconfigPath,
    token,
    caPath,
    dataDir,
    stop,
    kill: (program) => (program === 'etcd' ? etcd : apiserver).kill(),
    restart: start,
    compact: () => compactEtcd(ports.etcdClient),
  };
}
