import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from '../core/logger.ts';
import type { Database } from '../ledger/database.ts';
import type { LedgerListener } from '../ledger/listener.ts';
import { readPoolLoads } from '../ledger/pool-loads.ts';
import { PeriodicService } from '../lifecycle/service.ts';
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
  /** How often the certificate is looked at. Defaults to 10 s. */
  certificateMs?: number;
}

export interface RunningScaler {
  port: number;
  stop(): Promise<void>;
}

/** KEDA waits for an answer, and a connection of the ledger with it. */
const READ_TIMEOUT_MS = 3_000;

/**
 * Serves KEDA from the ledger, leader or not; the ledger's notifications wake it. A certificate that was renewed is taken
 * up: pools tell KEDA to trust the new one, and no longer the old one.
 */
export async function startScaler(options: ScalerOptions): Promise<RunningScaler> {
  const { settings, listener, logger, certificateMs = 10_000 } = options;
  let tls = await readTls(settings);
  let server = createServer(options, settings.port, tls);
  const wake = () => server.wake();
  const port = await server.start();
  listener.on('work', wake).on('connected', wake);
  const renewal = new PeriodicService({
    name: 'scaler-certificate',
    intervalMs: certificateMs,
    logger,
    runOnce: async () => {
      const read = await readTls(settings);
      if (isDeepStrictEqual(read, tls)) return { renewed: 0 };
      // Streams end cleanly, and KEDA opens them again at once.
      await server.stop();
      server = createServer(options, port, read);
      await server.start();
      tls = read;
      logger.info({ port }, 'Scaler has taken up a new certificate');
      return { renewed: 1 };
    },
  });
  if (tls !== undefined) renewal.start();
  return {
    port,
    async stop() {
      await renewal.stop();
      listener.off('work', wake).off('connected', wake);
      await server.stop();
    },
  };
}

function createServer(
  { settings, db, logger, metrics, repeatMs }: ScalerOptions,
  port: number,
  tls: ScalerTls | undefined,
): ScalerServer {
  return new ScalerServer({
    host: settings.host,
    port,
    ...(tls === undefined ? {} : { tls }),
    read: (pools) => withDeadline(() => readPoolLoads(db, { pools }), READ_TIMEOUT_MS),
    logger,
    ...(repeatMs === undefined ? {} : { repeatMs }),
    onRequest: metrics.onScalerRequest,
    onPush: metrics.onScalerPush,
  });
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
