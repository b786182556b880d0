import { once } from 'node:events';
import { createServer } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { silentLogger } from '../../src/core/logger.ts';
import { LedgerListener } from '../../src/ledger/listener.ts';
import { freePort } from '../support/ports.ts';

it('stops at whatever moment of a connection that breaks', async () => {
  const port = await freePort();
  const server = createServer((socket) => socket.resetAndDestroy()).listen(port, '127.0.0.1');
  await once(server, 'listening');
  try {
    for (let round = 0; round < 100; round += 1) {
      const listener = new LedgerListener({ url: `postgres://x@127.0.0.1:${port}/x`, logger: silentLogger });
      const turns = round % 10;
      listener.start();
      for (let turn = 0; turn < turns; turn += 1) await setImmediate();
      await expect(listener.stop()).resolves.toBeUndefined();
    }
  } finally {
    server.close();
  }
});
