import { afterAll, beforeAll, expect, test } from 'vitest';
import { windowDay, windowTime } from '../support/readings.ts';
import { waitFor } from '../support/wait-for.ts';
import { useWorld } from './support/world.ts';

const world = useWorld();
const client = world.client();
const CUSTOMERS = 500;
/** Those of one register: the seed gives each fourth meter two. */
const METERS = Array.from({ length: CUSTOMERS }, (_, n) => n + 1).filter((number) => number % 4 !== 3);

interface Reading {
  id: string;
  meterId: string;
  value: number;
  status: 'RECEIVED' | 'ACCEPTED' | 'REFUSED';
  reason: { code: string } | null;
  consumption: number | null;
}

const send = (dayOfMonth: number, value: number) =>
  client.call('POST', '/v1/meter-readings:batch', {
    readings: METERS.map((number) => ({
      ...{ meterId: `METER-${number}`, value, readAt: windowTime(dayOfMonth) },
    })),
  });
const judged = (meterId: string, count: number) =>
  waitFor(
    () => client.call<{ readings: Reading[] }>('GET', `/v1/meters/${meterId}/readings`),
    ({ readings }) => readings.length === count && readings.every(({ status }) => status !== 'RECEIVED'),
    { timeoutMs: 120_000, describe: `${count} readings of ${meterId} to be judged` },
  );

beforeAll(async () => {
  await world.shippedPool('meter-readings');
  await world.longshore(
    ...['readings', 'seed', '--namespace', world.installed.namespace, '--customers', String(CUSTOMERS)],
  );
});
afterAll(() => world.audit());

test('readings are stored at once, and judged by pods that come from zero', async () => {
  expect(await world.replicas('meter-readings')).toBe(0);
  await send(15, 20_000);
  await judged(`METER-${CUSTOMERS}`, 1);
  await send(16, 20_100);
  const { readings } = await judged(`METER-${CUSTOMERS}`, 2);
  expect(readings[0]).toMatchObject({ value: 20_100, status: 'ACCEPTED', consumption: 100 });
  const bill = await client.call('GET', `/v1/meters/METER-1/bill?month=${windowDay().slice(0, 7)}`);
  expect(bill).toMatchObject({ waiting: 0, lines: [{ zone: 'total', to: 20_100 }] });
});

test('a value below the last one is refused, with its reason', async () => {
  await client.call('POST', '/v1/meter-readings', {
    ...{ meterId: 'METER-2', value: 19_000, readAt: windowTime(17) },
  });
  const { readings } = await judged('METER-2', 3);
  expect(readings[0]).toMatchObject({ value: 19_000, status: 'REFUSED', reason: { code: 'LowerThanLast' } });
});

test('one job judges many, and the pods leave again', async () => {
  // A reading is judged a moment before its job has ended.
  const { jobs } = await waitFor(
    () => client.call<{ jobs: { status: string }[] }>('GET', '/v1/jobs?type=meter-readings'),
    (page) => page.jobs.every(({ status }) => status === 'SUCCESS'),
    { timeoutMs: 30_000, describe: 'every job to have ended' },
  );
  expect(jobs.length).toBeLessThan(30);
  await waitFor(
    () => world.replicas('meter-readings'),
    (count) => count === 0,
    { timeoutMs: 120_000, describe: 'no pod of the pool' },
  );
});
