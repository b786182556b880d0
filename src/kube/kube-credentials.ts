import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';

const CACHE_MS = 30_000;
const CONNECT_TIMEOUT_MS = 5_000;

export interface KubeCredentialsOptions {
  kubeconfigPath?: string | undefined;
  /** Connections for requests. Defaults to 8. */
  connections?: number | undefined;
}

export interface KubeConnection {
  origin: string;
  /** Put before every path; a cluster behind a gateway has one. */
  basePath: string;
  headers: Record<string, string>;
  requests: Dispatcher;
  watches: Dispatcher;
}

/** Finds the cluster: the given path, else `KUBECONFIG`, else `~/.kube/config`, else the pod's service account. */
export function loadKubeConfig(kubeconfigPath?: string): KubeConfig {
  const config = new KubeConfig();
  if (kubeconfigPath !== undefined) config.loadFromFile(kubeconfigPath);
  else config.loadFromDefault();
  const cluster = config.getCurrentCluster();
  // The library's last resort is an unprotected server on this machine: nothing that anybody means.
  if (cluster === null || cluster.server === 'http://localhost:8080') {
    throw new Error('No cluster was found: set KUBECONFIG, or run in a pod with a service account');
  }
  return config;
}

/**
 * Turns a kubeconfig into headers and pooled connections. The library itself opens a TLS connection for each call; here
 * one pool serves all requests and another all watches, so that no stream can stop a request. Tokens and certificates are
 * read again every 30 s, as they rotate.
 */
export class KubeCredentials {
  readonly #config: KubeConfig;
  readonly #connections: number;
  #current: KubeConnection | undefined;
  #tlsKey = '';
  #expiresAt = 0;
  #pending: Promise<KubeConnection> | undefined;

  constructor(options: KubeCredentialsOptions = {}) {
    this.#config = loadKubeConfig(options.kubeconfigPath);
    this.#connections = options.connections ?? 8;
  }

  /** The namespace of the kubeconfig's context or the pod's service account. */
  get namespace(): string | undefined {
    return this.#config.getContextObject(this.#config.getCurrentContext())?.namespace;
  }

  async connection(): Promise<KubeConnection> {
    if (this.#current !== undefined && performance.now() < this.#expiresAt) return this.#current;
    this.#pending ??= this.#load().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  /** Reads tokens and certificates again at the next call: the API server refused them. */
  expire(): void {
    this.#expiresAt = 0;
  }

  async close(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    this.#tlsKey = '';
    await Promise.all([current?.requests.destroy(), current?.watches.destroy()]);
  }

  async #load(): Promise<KubeConnection> {
    const cluster = this.#config.getCurrentCluster();
    if (cluster === null) throw new Error('The kubeconfig has no current cluster');
    const options: RequestOptions = {};
    await this.#config.applyToHTTPSOptions(options);
    const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options;
    const tls = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername };
    const tlsKey = JSON.stringify(tls);
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value);
    if (typeof options.auth === 'string') headers.Authorization ??= `Basic ${btoa(options.auth)}`;
    const url = new URL(cluster.server);
    const before = this.#current;
    const same = before !== undefined && tlsKey === this.#tlsKey;
    this.#current = {
      origin: url.origin,
      basePath: url.pathname.replace(/\/$/, ''),
      headers,
      requests: same ? before.requests : createDispatcher(cluster.proxyUrl, tls, this.#connections),
      watches: same ? before.watches : createDispatcher(cluster.proxyUrl, tls, null),
    };
    // Calls under way end on the old connections; `close` waits for them by itself.
    if (before !== undefined && !same) void Promise.all([before.requests.close(), before.watches.close()]);
    this.#tlsKey = tlsKey;
    this.#expiresAt = performance.now() + CACHE_MS;
    return this.#current;
  }
}

/** HTTP/1.1 alone: over HTTP/2 all calls and watches would share one connection, and a stuck one would stop them all. */
function createDispatcher(proxyUrl: string | undefined, tls: object, connections: number | null): Dispatcher {
  const defined = Object.fromEntries(
    Object.entries(tls).filter(([, value]) => value !== undefined && value !== null),
  );
  if (proxyUrl !== undefined && proxyUrl !== '') {
    return new ProxyAgent({ uri: proxyUrl, requestTls: defined, connections, allowH2: false });
  }
  return new Agent({
    connections,
    allowH2: false,
    connect: { ...defined, timeout: CONNECT_TIMEOUT_MS, keepAlive: true, keepAliveInitialDelay: 30_000 },
  });
}
