import { afterEach, beforeEach, expect, it } from 'vitest';
import { BotWorld } from '../support/bot.ts';
import { waitFor } from '../support/wait-for.ts';

let world: BotWorld;
beforeEach(async () => {
  world = await BotWorld.start();
  await world.price('binance BTC-USDT', '69000');
});
afterEach(() => world?.stop());

async function subscribe(rule: string, chatId = 7): Promise<void> {
  const before = world.telegram.textsTo(chatId).length;
  world.telegram.say(`/subscribe btc usdt ${rule}`, { chatId, personId: chatId });
  await waitFor(() => world.telegram.textsTo(chatId).length > before, { describe: 'the answer' });
}
const alertsTo = (chatId = 7) =>
  world.telegram.textsTo(chatId).filter((text) => / is (above|below) /.test(text));
/** Sets a price, and waits until it was judged. */
async function judged(price: string, ageSeconds = 0): Promise<void> {
  await world.price('binance BTC-USDT', price, ageSeconds);
  await waitFor(
    async () => {
      const { rowCount } = await world.ledger.db.query(
        'select from judged_boards j join rate_boards b using (namespace) where j.version >= b.version',
      );
      return rowCount === 1;
    },
    { describe: `the judgement of ${price}` },
  );
}
const nothingWaits = () =>
  waitFor(
    async () =>
      (await world.ledger.db.query('select from bot_messages where ended_at is null')).rowCount === 0,
    { describe: 'an empty outbox' },
  );

it('tells each crossing once, whatever the price does on the same side', async () => {
  await world.startBot();
  await subscribe('above 70000');
  await subscribe('below 68000.5');
  for (const price of ['69500', '70000', '70000.01', '70100', '70050', '69999', '70001', '60000'])
    await judged(price);
  await nothingWaits();
  expect(alertsTo().map((text) => text.replace(/ \(.*/, ''))).toEqual([
    'BTC/USDT is above 70000: 70000.01',
    'BTC/USDT is above 70000: 70001',
    'BTC/USDT is below 68000.5: 60000',
  ]);
  const [first] = world.telegram.messages.filter(({ text }) => text.includes(' is above '));
  expect(first?.buttons[1]).toMatchObject({
    text: 'Stop',
    callback_data: expect.stringMatching(/^stop:\d+$/),
  });
});

it('does not tell what was so before, and says that', async () => {
  await world.startBot();
  await subscribe('above 60000');
  expect(world.telegram.textsTo(7)).toEqual([expect.stringContaining('It is there now')]);
  await judged('61000');
  await nothingWaits();
  expect(alertsTo()).toEqual([]);
});

it('takes no stale price for a crossing', async () => {
  await world.startBot();
  await subscribe('above 70000');
  await judged('80000', 3_600);
  await nothingWaits();
  expect(alertsTo()).toEqual([]);
});

it('tells what was crossed while no bot ran, once, though two are started', async () => {
  const first = await world.startBot();
  await subscribe('above 70000');
  await first.stop();
  await world.price('binance BTC-USDT', '71000');
  await Promise.all([world.startBot(), world.startBot()]);
  await waitFor(() => alertsTo().length > 0, { describe: 'the alert' });
  await judged('71001');
  await nothingWaits();
  expect(alertsTo()).toHaveLength(1);
});

it('reports each period, once for those that were missed, marked when stale, and no more after /stop', async () => {
  await world.startBot();
  await subscribe('every 1h');
  const due = (hours: number) =>
    world.ledger.db.query('update subscriptions set next_at = next_at - make_interval(hours => $1)', [hours]);
  await due(50);
  const reports = () => world.telegram.textsTo(7).filter((text) => text.startsWith('1 BTC'));
  await waitFor(() => reports().length === 1, { describe: 'a report' });
  const { rows } = await world.ledger.db.query(
    "select next_at between now() and now() + interval '1 hour' as next from subscriptions",
  );
  expect(rows).toEqual([{ next: true }]);
  await world.price('binance BTC-USDT', '69000', 7_200);
  await waitFor(
    async () => {
      await due(1);
      return reports().at(-1)?.includes('⚠ Stale: 2 h old');
    },
    { describe: 'a report that says stale' },
  );
  world.telegram.say('/stop');
  await waitFor(() => world.telegram.textsTo(7).includes('Ended 1 subscription(s).'), {
    describe: 'the end',
  });
  expect((await world.ledger.db.query('select from subscriptions')).rowCount).toBe(0);
});

it('shows what it does in metrics', async () => {
  await world.startBot();
  await subscribe('above 70000');
  await judged('70001');
  await nothingWaits();
  expect(await world.metric('longshore_bot_updates_total', { kind: 'subscribe' })).toBe(1);
  expect(await world.metric('longshore_bot_messages_total', { outcome: 'sent' })).toBe(2);
  await waitFor(() => world.metric('longshore_bot_subscriptions', { kind: 'above' }), {
    describe: 'the gauge',
    timeoutMs: 20_000,
  });
});
