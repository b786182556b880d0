import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../../hack/services/postgres.ts';
import { startRedis } from '../../hack/services/redis.ts';

interface KubeApiserver {
  kubeconfigPath: string;
  stop(): Promise<void>;
}

/** The services that integration tests share; one whose address the environment gives is not started. */
export default async function setup(): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'longshore-test-'));
  chmodSync(folder, 0o755);
  const stops: (() => Promise<void>)[] = [];
  const teardown = async () => {
    await Promise.all(stops.map((stop) => stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  const provide = async (
    variable: string,
    start: () => Promise<{ address: string; stop(): Promise<void> }>,
  ) => {
    if (process.env[variable]) return;
    const { address, stop } = await start();
    process.env[variable] = address;
    stops.push(stop);
  };
  try {
    await Promise.all([
      provide('LONGSHORE_TEST_POSTGRES_URL', async () => {
        const postgres = await startPostgres({
          dataDir: join(folder, 'postgres'),
          fsync: false,
          maxConnections: 300,
        });
        return { address: postgres.url, stop: postgres.stop };
      }),
      provide('LONGSHORE_TEST_REDIS_URL', async () => {
        const redis = await startRedis({ dataDir: join(folder, 'redis') });
        return { address: redis.url, stop: redis.stop };
      }),
      provideKubernetes(provide, folder),
    ]);
  } catch (error) {
    await teardown();
    throw error;
  }
  return teardown;
}

async function provideKubernetes(
  provide: (
    variable: string,
    start: () => Promise<{ address: string; stop(): Promise<void> }>,
  ) => Promise<void>,
  folder: string,
): Promise<void> {
  const script = new URL('../../hack/kube/local-apiserver.ts', import.meta.url);
  if (!existsSync(script)) return;
  await provide('LONGSHORE_TEST_KUBECONFIG', async () => {
    const { startKubeApiserver } = (await import(script.href)) as {
      startKubeApiserver(options: { dataDir: string }): Promise<KubeApiserver>;
    };
    const server = await startKubeApiserver({ dataDir: join(folder, 'kube') });
    return { address: server.kubeconfigPath, stop: () => server.stop() };
  });
}
