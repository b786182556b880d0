import { afterAll, beforeAll, expect, test } from 'vitest';
import { windowTime } from '../support/readings.ts';
import { waitFor } from '../support/wait-for.ts';
import { upgrade } from './support/release.ts';
import { useWorld } from './support/world.ts';

const world = useWorld();
const { installed, system } = world;
const client = world.client();
const CUSTOMERS = 640;
/** Meters of one register that no other test reads. */
const METERS = Array.from({ length: 40 }, (_, n) => 600 + n).filter((number) => number % 4 !== 3);
const API = `pod/${installed.prefix}-api-0`;
const POSTGRES = `${installed.prefix}-postgresql`;

interface Reading {
  id: string;
  status: 'SPOOLED' | 'RECEIVED' | 'ACCEPTED' | 'REFUSED';
}

const send = (number: number) =>
  client.call<Reading>('POST', '/v1/meter-readings', {
    ...{ meterId: `METER-${number}`, value: 1_000, readAt: windowTime(18) },
  });

beforeAll(async () => {
  await world.shippedPool('meter-readings');
  await upgrade(installed, { 'api.spool.enabled': true, 'api.replicas': 1 });
  await world.longshore(
    ...['readings', 'seed', '--namespace', installed.namespace, '--customers', String(CUSTOMERS)],
  );
});
afterAll(async () => {
  await upgrade(installed, { 'api.spool.enabled': false, 'api.replicas': 2 });
  await world.audit();
});

test('readings are taken while PostgreSQL is away, outlive their pod, and are judged when it is back', async () => {
  const [first = 0, ...others] = METERS;
  // The key is known from here on.
  expect(await send(first)).toMatchObject({ status: 'RECEIVED' });
  await system.run(['scale', `statefulset/${POSTGRES}`, '--replicas=0']);
  await system.run(['wait', '--for=delete', `pod/${POSTGRES}-0`, '--timeout=120s'], { timeoutMs: 130_000 });

  const taken = await Promise.all(others.map(send));
  expect(new Set(taken.map(({ status }) => status))).toEqual(new Set(['SPOOLED']));
  await system.run(['delete', API, '--force', '--grace-period=0']);

  await system.run(['scale', `statefulset/${POSTGRES}`, '--replicas=1']);
  await system.run(['rollout', 'status', `statefulset/${installed.prefix}-api`, '--timeout=120s'], {
    timeoutMs: 130_000,
  });
  for (const { id } of taken) {
    await waitFor(
      () => client.call<Reading>('GET', `/v1/meter-readings/${id}`).catch(() => null),
      (reading) => reading?.status === 'ACCEPTED',
      { timeoutMs: 120_000, describe: `reading ${id} to be judged` },
    );
  }
});
