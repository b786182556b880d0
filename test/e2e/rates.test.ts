import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../support/wait-for.ts';
import { readExample, useWorld } from './support/world.ts';

const world = useWorld();
const { kubectl } = world;
const client = world.client();
const { namespace } = world.installed;

interface Message {
  text: string;
}

const rate = (pair: string, price: number) =>
  waitFor(
    () => client.call<{ price: string }>('GET', `/v1/rates/${pair}`).catch(String),
    (seen) => typeof seen === 'object' && Number(seen.price) === price,
    { timeoutMs: 60_000, describe: `the price of ${pair} to be ${price}` },
  );
/** Writes to the bot, if there is something to say, and waits for a message like this. */
async function message(like: RegExp, said = ''): Promise<void> {
  if (said !== '') await world.provider(`/say?text=${encodeURIComponent(said)}`);
  await waitFor(
    () => world.provider<Message[]>('/messages'),
    (messages) => messages.some(({ text }) => like.test(text)),
    { timeoutMs: 60_000, describe: `a message like ${like}` },
  );
}

beforeAll(async () => {
  await world.shippedPool('exchange-rate');
  await world.longshore('rates', 'add', 'binance', 'BTC-USDT', '--interval', '10s', '--namespace', namespace);
  await world.longshore(
    'rates',
    'add',
    'coingecko',
    'USDT-UAH',
    '--interval',
    '10s',
    '--namespace',
    namespace,
  );
});
afterAll(async () => {
  await world.longshore('rates', 'remove', 'binance', 'BTC-USDT', '--namespace', namespace);
  await world.longshore('rates', 'remove', 'coingecko', 'USDT-UAH', '--namespace', namespace);
  await world.audit();
});

test('a pair that is added is quoted, round after round', async () => {
  await rate('BTC-USDT', 67187.1);
  await world.provider('/price?symbol=BTCUSDT&price=67200.50000000');
  await rate('BTC-USDT', 67200.5);
  await rate('USDT-UAH', 41.5);
  const cross = await client.call<{ via: string; legs: object[] }>('GET', '/v1/rates/BTC-UAH');
  expect(cross).toMatchObject({ via: 'USDT', legs: [{ provider: 'binance' }, { provider: 'coingecko' }] });
});

test('a round out of turn is a manifest', async () => {
  await kubectl.apply(...(await readExample('kubernetes/exchange-rate.yaml')));
  await kubectl.waitFor('condition=Finished', 'queuejob/rates-now', 60);
  expect((await kubectl.get('queuejob/rates-now'))?.status?.phase).toBe('Succeeded');
});

test('the bot answers, and tells a crossing once, though it is restarted', async () => {
  await message(/^1 BTC = 67200\.5/, '/rate btc usdt');
  await message(/above 68000/, '/subscribe btc usdt above 68000');
  await world.system.run(['rollout', 'restart', `deployment/${world.installed.prefix}-bot`]);
  await world.provider('/price?symbol=BTCUSDT&price=68100.00000000');
  await rate('BTC-USDT', 68100);
  await message(/BTC.*68100/s);
  await world.system.run(
    ['rollout', 'status', `deployment/${world.installed.prefix}-bot`, '--timeout=120s'],
    { timeoutMs: 130_000 },
  );
  await message(/^I tell exchange rates/, '/start');
  const alerts = (await world.provider<Message[]>('/messages')).filter(({ text }) => /68100/.test(text));
  expect(alerts).toHaveLength(1);
});
