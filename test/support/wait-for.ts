import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until `read` answers something that `isDone` takes; rejects with what it saw last. */
export async function waitFor<T>(
  read: () => Promise<T> | T,
  isDone: (value: T) => boolean,
  options: { timeoutMs?: number; describe?: string } = {},
): Promise<T> {
  const { timeoutMs = 10_000, describe = 'the condition' } = options;
  const startedAtMs = performance.now();
  for (;;) {
    const value = await read();
    if (isDone(value)) return value;
    if (performance.now() - startedAtMs > timeoutMs) {
      throw new Error(`Waited ${timeoutMs} ms for ${describe}; saw last: ${JSON.stringify(value)}`);
    }
    await sleep(20);
  }
}
