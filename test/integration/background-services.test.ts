import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createBackgroundServices } from '../../src/controller/background-services.ts';
import { systemClock } from '../../src/core/clock.ts';
import { uuidv7 } from '../../src/core/ids.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import type { Finding } from '../../src/ledger/audit.ts';
import { createBulkOperation } from '../../src/ledger/bulk-operations.ts';
import { listJobs } from '../../src/ledger/jobs.ts';
import { putSchedule } from '../../src/ledger/schedules.ts';
import { knownTypes } from '../support/known-types.ts';
import { createTestLedger, newJob, type TestLedger } from '../support/ledger.ts';
import { waitFor } from '../support/wait-for.ts';

let ledger: TestLedger;
beforeEach(async () => {
  ledger = await createTestLedger();
});
afterEach(() => ledger.close());

it('the leader fires, cancels, delivers, forgets and audits, and stops when told', async () => {
  const bodies: string[] = [];
  const server = createServer((req, res) => {
    req.on('data', (chunk) => bodies.push(String(chunk))).on('end', () => res.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const rounds = new Map<string, boolean>();
  const audits: (readonly Finding[])[] = [];
  const services = createBackgroundServices({
    db: ledger.db,
    logger: silentLogger,
    clock: systemClock,
    types: knownTypes('echo'),
    retention: { jobDays: 30, blobDays: 7, rateDays: 2, rateMinuteDays: 30, rateHourDays: 730 },
    webhooks: {
      secrets: ['a secret of the test'],
      policy: { allowInsecure: true, allowPrivate: true },
    },
    onRound: (service, { failed }) => rounds.set(service, failed),
    onAudit: (findings) => audits.push(findings),
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const job = newJob({ webhook: { url }, labels: { team: 'a' } });
  await acceptJobs(ledger.db, [job]);
  const id = uuidv7();
  const filter = { label: { key: 'team', value: 'a' }, untilId: id };
  await createBulkOperation(ledger.db, { id, kind: 'cancel', namespace: 'default', filter });
  await putSchedule(ledger.db, {
    namespace: 'default',
    name: 'tick',
    spec: { every: '1d', job: { type: 'echo', input: 1 } },
    resourceUid: null,
    nextFireAtMs: Math.floor(Date.now() / 86_400_000) * 86_400_000,
  });

  for (const service of services) service.start();
  try {
    await waitFor(
      () => bodies.length,
      (n) => n === 1,
      { describe: 'the webhook of the job that was cancelled in bulk' },
    );
    const jobs = await waitFor(
      () => listJobs(ledger.db, { namespace: 'default' }, { limit: 10, beforeId: null }),
      (found) => found.length === 2,
      { describe: 'the job of the schedule' },
    );
    expect(jobs.map(({ status }) => status).sort()).toEqual(['CANCELLED', 'CREATED']);
    await waitFor(
      () => [...rounds.keys()].sort(),
      (names) => names.length === services.length,
      { describe: 'a round of every service' },
    );
  } finally {
    await Promise.all(services.map((service) => service.stop()));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  expect(Object.fromEntries(rounds)).toEqual({
    audit: false,
    'bulk-operations': false,
    retention: false,
    depth: false,
    'pool-loads': false,
    providers: false,
    'rate-schedules': false,
    'reading-ranges': false,
    readings: false,
    schedules: false,
    webhooks: false,
  });
  expect(JSON.parse(bodies[0] ?? '')).toMatchObject({ job: { id: job.id, status: 'CANCELLED' } });
  expect(audits.flat().filter((finding) => finding.verdict === 'broken')).toEqual([]);
  expect(audits.length).toBeGreaterThan(0);
});
