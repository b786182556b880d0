import { readFile } from 'node:fs/promises';
import type { Logger } from '../core/logger.ts';
import type { Database } from '../ledger/database.ts';
import type { LedgerListener } from '../ledger/listener.ts';
import { readPoolLoads } from '../ledger/pool-loads.ts';
import { withDeadline } from '../lifecycle/wait-for.ts';
import { ScalerServer, type ScalerTls } from '../scaler/scaler-server.ts';

export interface ScalerSettings {
  host: string;
  port: number;
  /** Paths of PEM files; empty ones are not set. */
  tlsCertFile: string;
  tlsKeyFile: string;
  tlsCaFile: string;
}

export interface ScalerOptions {
  settings: ScalerSettings;
  db: Database;
  listener: LedgerListener;
  logger: Logger;
  metrics: {
    onScalerRequest(method: string, code: string): void;
    onScalerPush(active: boolean): void;
  };
  /** See {@link ScalerServer}. */
  repeatMs?: number;
}

export interface RunningScaler {
  port: number;
  stop(): Promise<void>;
}

/** KEDA waits for an answer, and a connection of the ledger with it. */
const READ_TIMEOUT_MS = 3_000;

/** Serves KEDA from the ledger, leader or not; the ledger's notifications wake it. */
export async function startScaler(options: ScalerOptions): Promise<RunningScaler> {
  const { settings, db, listener, logger, metrics, repeatMs } = options;
  const tls = await readTls(settings);
  const server = new ScalerServer({
    host: settings.host,
    port: settings.port,
    ...(tls === undefined ? {} : { tls }),
    read: (pools) => withDeadline(() => readPoolLoads(db, { pools }), READ_TIMEOUT_MS),
    logger,
    ...(repeatMs === undefined ? {} : { repeatMs }),
    onRequest: metrics.onScalerRequest,
    onPush: metrics.onScalerPush,
  });
  const wake = () => server.wake();
  listener.on('work', wake).on('connected', wake);
  const port = await server.start();
  return {
    port,
    async stop() {
      listener.off('work', wake).off('connected', wake);
      await server.stop();
    },
  };
}

async function readTls({
  tlsCertFile,
  tlsKeyFile,
  tlsCaFile,
}: ScalerSettings): Promise<ScalerTls | undefined> {
  if (tlsCertFile === '') return undefined;
  const [cert, key] = await Promise.all([readFile(tlsCertFile), readFile(tlsKeyFile)]);
  return { cert, key, ...(tlsCaFile === '' ? {} : { clientCa: await readFile(tlsCaFile) }) };
}
