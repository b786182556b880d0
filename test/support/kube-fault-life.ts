import { silentLogger } from '../../src/core/logger.ts';
import { connectDatabase } from '../../src/ledger/database.ts';
import { ClusterController, type ClusterControllerOptions } from './cluster-controller.ts';
import { type HttpFaultProxy, startHttpFaultProxy } from './http-fault-proxy.ts';
import type { LocalApiserver } from './kube-apiserver.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { PgFaultProxy } from './pg-fault-proxy.ts';

/** One controller's time: its own ways to the API server and to PostgreSQL, which a crash cuts all at once. */
export interface Life {
  kube: HttpFaultProxy;
  controller: ClusterController;
  /** From here on nothing that it does reaches anybody, and nobody is told that it is gone. */
  crash(): void;
  /** Stops what is left of it. */
  end(): Promise<void>;
}

export interface LifeOptions extends ClusterControllerOptions {
  server: LocalApiserver;
}

/** Makes a controller behind proxies of its own; the caller starts it. @param options.kubeconfigPath - Is written. */
export async function startLife(options: LifeOptions): Promise<Life> {
  const { server, ledger, kubeconfigPath } = options;
  const kube = await startHttpFaultProxy({ target: server.url, caPath: server.caPath });
  const pg = await PgFaultProxy.start(ledger.url);
  const url = pg.through(ledger.url);
  const db = connectDatabase({
    url,
    applicationName: 'controller',
    statementTimeoutMs: 3_000,
    connectTimeoutMs: 2_000,
    logger: silentLogger,
  });
  await writeKubeconfig(kubeconfigPath, kube.url, server.token);
  const controller = new ClusterController({
    ...options,
    ledger: { ...ledger, url, db },
    kubeTimeoutMs: 3_000,
  });
  let isDead = false;
  kube.plan({ match: () => isDead, fault: { kind: 'before' }, times: Number.POSITIVE_INFINITY });
  return {
    kube,
    controller,
    crash: () => {
      isDead = true;
      pg.down();
      kube.cutWatches('reset');
    },
    end: async () => {
      await controller.stop();
      await db.end();
      await Promise.all([pg.close(), kube.close()]);
    },
  };
}
