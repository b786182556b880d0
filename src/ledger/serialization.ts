import { setTimeout as sleep } from 'node:timers/promises';

const MAX_TRIES = 6;

/** 40001: serialization failure; 40P01: deadlock. Nothing was written, and the same statement may pass now. */
export function isSerializationFailure(error: unknown): boolean {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return code === '40001' || code === '40P01';
}

/**
 * Runs `work` again when it lost against another transaction, after a short random pause that grows; up to six times.
 * Databases that spread tables over machines ask for that in ordinary operation, PostgreSQL hardly ever.
 */
export async function retrySerialization<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      if (!isSerializationFailure(error) || tries === MAX_TRIES) throw error;
      await sleep(Math.random() * 2 ** tries * 5);
    }
  }
}
