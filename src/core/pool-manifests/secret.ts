import { createHash } from 'node:crypto';
import type { PoolSettings } from './settings.ts';

/** Keys of the Secret that a pool's pods read. */
export const SECRET_KEYS = {
  poolSecret: 'pool-secret',
  postgresUrl: 'worker-postgres-url',
  redisUrl: 'redis-url',
  scalerCa: 'scaler-ca.crt',
} as const;

/** The data of a pool's Secret, each value in base64 as the API server keeps it. */
export function secretData(poolSecret: string, settings: PoolSettings): Record<string, string> {
  const texts: Record<string, string> = {
    [SECRET_KEYS.poolSecret]: poolSecret,
    [SECRET_KEYS.postgresUrl]: settings.workerPostgresUrl,
    [SECRET_KEYS.redisUrl]: settings.redisUrl,
    ...(settings.scalerCa === null ? {} : { [SECRET_KEYS.scalerCa]: settings.scalerCa }),
  };
  return Object.fromEntries(
    Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
  );
}

/** Differs when a pod that read the Secret before has to be replaced; KEDA's certificate is no reason. */
export function secretHash(data: Readonly<Record<string, string>>): string {
  const hash = createHash('sha256');
  for (const key of [SECRET_KEYS.poolSecret, SECRET_KEYS.postgresUrl, SECRET_KEYS.redisUrl])
    hash.update(`${key}=${data[key] ?? ''}\n`);
  return hash.digest('hex');
}
