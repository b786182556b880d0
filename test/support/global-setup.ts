import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startLocalApiserver } from '../../hack/kube/local-apiserver.ts';
import { startPostgres } from '../../hack/services/postgres.ts';
import { startRedis } from '../../hack/services/redis.ts';

type Start = () => Promise<{ address: string; stop(): Promise<void> }>;

/** The services that integration tests share; one whose address the environment gives is not started. */
export default async function setup(): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'longshore-test-'));
  chmodSync(folder, 0o755);
  const stops: (() => Promise<void>)[] = [];
  const teardown = async () => {
    await Promise.all(stops.map((stop) => stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  const provide = async (variable: string, start: Start) => {
    if (process.env[variable]) return;
    const { address, stop } = await start();
    process.env[variable] = address;
    stops.push(stop);
  };
  const outcomes = await Promise.allSettled([
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
    provide('LONGSHORE_TEST_KUBECONFIG', async () => {
      const server = await startLocalApiserver({ dataDir: join(folder, 'kube') });
      return { address: server.kubeconfigPath, stop: () => server.stop() };
    }),
  ]);
  // All have come to an end by now, so that a failure of one leaves no other behind.
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure !== undefined) {
    await teardown();
    throw failure.reason;
  }
  return teardown;
}
