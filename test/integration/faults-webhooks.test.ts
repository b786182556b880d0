import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { WebhookDelivery } from '../../src/controller/webhooks.ts';
import { systemClock } from '../../src/core/clock.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { connectDatabase } from '../../src/ledger/database.ts';
import { cancelJobs } from '../../src/ledger/jobs.ts';
import { createTestLedger, newJob } from '../support/ledger.ts';
import { PgFaultProxy } from '../support/pg-fault-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

it.each(['before', 'after'] as const)(
  'a webhook whose mark is lost %s it is written is delivered, once more at worst',
  async (fault) => {
    const ledger = await createTestLedger();
    const proxy = await PgFaultProxy.start(ledger.url);
    const db = connectDatabase({
      url: proxy.through(ledger.url),
      applicationName: 'webhooks',
      logger: silentLogger,
    });
    const received: string[] = [];
    const server = createServer((request, response) => {
      received.push(request.url ?? '');
      request.resume().on('end', () => response.end());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const delivery = new WebhookDelivery({
      db,
      clock: systemClock,
      logger: silentLogger,
      settings: {
        secrets: ['secret'],
        policy: { allowInsecure: true, allowPrivate: true },
        deadlineMs: 2_000,
      },
    });
    try {
      const jobs = Array.from({ length: 6 }, (_, n) => newJob({ webhook: { url: `${base}/${n}` } }));
      await acceptJobs(ledger.db, jobs);
      await cancelJobs(
        ledger.db,
        'default',
        jobs.map(({ id }) => id),
      );
      const planned = proxy.plan({ name: 'webhook-done', fault, every: 2, times: 3 });
      await waitFor(
        async () => {
          await delivery.runOnce(new AbortController().signal).catch(() => {});
          await ledger.db.query('update webhooks set next_attempt_at = now() where delivered_at is null');
          const { rows } = await ledger.db.query(
            'select count(*)::integer as n from webhooks where delivered_at is not null',
          );
          return rows[0]?.n === jobs.length;
        },
        { timeoutMs: 20_000, describe: 'every webhook to be marked as delivered' },
      );
      expect(planned.verified).toBe(3);
      expect(new Set(received).size).toBe(jobs.length);
      expect(received.length).toBe(fault === 'before' ? jobs.length + planned.verified : jobs.length);
    } finally {
      await delivery.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await db.end();
      await proxy.close();
      await ledger.close();
    }
  },
);
