import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { BotWorld } from '../support/bot.ts';
import { track } from '../support/rates.ts';
import { waitFor } from '../support/wait-for.ts';

let world: BotWorld;
let chat = 0;
let tests = 0;
beforeAll(async () => {
  world = await BotWorld.start();
  await world.price('binance BTC-USDT', '69000.12');
  await world.price('binance ETH-USDT', '3000', 3_600);
  await world.price('coingecko USDT-EUR', '0.86');
  await world.price('coingecko USDT-UAH', '41.5');
  await track(world.ledger, 'binance NEW-USDT');
  await world.startBot({ maxSubscriptions: 3 });
});
afterAll(() => world?.stop());
beforeEach(() => {
  tests += 1;
  chat = 100 + 10 * tests;
});

/** Says it in a chat of the test's own, and waits for the answer. */
async function ask(text: string): Promise<string> {
  const before = world.telegram.textsTo(chat).length;
  world.telegram.say(text, { chatId: chat, personId: chat });
  const texts = await waitFor(
    () => world.telegram.textsTo(chat),
    (seen) => seen.length > before,
    { describe: `an answer to ${JSON.stringify(text)}` },
  );
  return texts.at(-1) ?? '';
}
const buttonsOf = () => world.telegram.messages.findLast(({ chatId }) => chatId === chat)?.buttons ?? [];
const subscriptions = async () =>
  (await world.ledger.db.query('select kind, base from subscriptions where chat_id = $1 order by id', [chat]))
    .rows;

it('answers a rate to its last digit, with its age and with buttons', async () => {
  expect(await ask('/rate btc usdt')).toMatch(
    /^1 BTC = 69000\.12 USDT\n\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, \d+ (s|min) old|^1 BTC = 69000\.12 USDT\n⚠ Stale/,
  );
  expect(buttonsOf().map(({ callback_data }) => callback_data)).toEqual([
    'rate:BTC:USDT',
    'every:BTC:USDT:3600',
  ]);
});

it('marks a stale rate with its age', async () => {
  expect(await ask('/rate eth usdt')).toMatch(/^1 ETH = 3000 USDT\n⚠ Stale: 1 h old/);
});

it('converts through a common asset, and says that it is computed', async () => {
  await world.price('coingecko USDT-EUR', '0.86');
  await world.price('coingecko USDT-UAH', '41.5');
  expect(await ask('/convert 100 eur uah')).toMatch(/^100 EUR ≈ 4825\.5814 UAH\n1 EUR ≈ 48\.255814 UAH\n/);
  expect(await ask('/convert 2 usdt uah')).toMatch(/^2 USDT = 83 UAH\n1 USDT = 41\.5 UAH\n/);
});

it('names what it knows when it is asked for another pair', async () => {
  expect(await ask('/rate btc zzz')).toMatch(/^I have no rate for BTC\/ZZZ\.\nI know BTC\/USDT, ETH\/USDT/);
  expect(await ask('/subscribe btc zzz above 1')).toMatch(/^I have no rate for BTC\/ZZZ/);
  expect(await ask('/rate new usdt')).toMatch(/^I have no rate for NEW\/USDT/);
  expect(await subscriptions()).toEqual([]);
});

it('keeps subscriptions, each once, so many of a chat, and ends them', async () => {
  expect(await ask('/list')).toMatch(/^You have no subscriptions/);
  expect(await ask('/subscribe btc usdt above 70000')).toBe('Subscribed: BTC/USDT above 70000.');
  expect(await ask('/subscribe BTC/USDT above 70000.0')).toBe(
    'You are subscribed already: BTC/USDT above 70000.',
  );
  expect(await ask('/subscribe new usdt below 5')).toBe('Subscribed: NEW/USDT below 5.');
  expect(await ask('/subscribe eur uah every 90m')).toBe('Subscribed: EUR/UAH every 90m.');
  expect(await ask('/subscribe btc usdt every 1h')).toMatch(/^You have as many subscriptions/);
  expect(await ask('/list')).toMatch(
    /^\d+\. BTC\/USDT above 70000\n\d+\. NEW\/USDT below 5\n\d+\. EUR\/UAH every 90m$/,
  );
  const [first] = buttonsOf();
  world.telegram.press(first?.callback_data ?? '', { chatId: chat, personId: chat });
  await waitFor(async () => (await subscriptions()).length === 2, { describe: 'one subscription less' });
  expect(await ask('/stop 999999')).toMatch(/^There is no such subscription of yours/);
  expect(await ask('/stop')).toBe('Ended 2 subscription(s).');
  expect(await subscriptions()).toEqual([]);
});

it("does not end another chat's subscription", async () => {
  await ask('/subscribe btc usdt above 80000');
  const { rows } = await world.ledger.db.query('select id from subscriptions where chat_id = $1', [chat]);
  const owner = chat;
  chat += 1;
  expect(await ask(`/stop ${rows[0].id}`)).toMatch(/^There is no such/);
  world.telegram.press(`stop:${rows[0].id}`, { chatId: chat, personId: chat });
  await ask('/help');
  chat = owner;
  expect(await subscriptions()).toHaveLength(1);
});

it('changes the message under Refresh, and subscribes by a button', async () => {
  world.telegram.press('rate:BTC:USDT', { chatId: chat, personId: chat, messageId: 55 });
  const edit = await waitFor(
    () => world.telegram.callsOf('editMessageText').find(({ payload }) => payload.chat_id === chat),
    { describe: 'a changed message' },
  );
  expect(edit.payload).toMatchObject({ message_id: 55, text: expect.stringContaining('1 BTC = 69000.12') });
  world.telegram.fail('editMessageText', {
    status: 400,
    description: 'Bad Request: message is not modified',
  });
  world.telegram.press('rate:BTC:USDT', { chatId: chat, personId: chat });
  world.telegram.press('every:BTC:USDT:3600', { chatId: chat, personId: chat });
  await waitFor(async () => (await subscriptions()).length === 1, { describe: 'the subscription' });
  expect(world.telegram.textsTo(chat)).toEqual([]);
});

it('understands commands addressed to it in a group, and leaves other talk alone', async () => {
  chat = -100;
  // More than a person may send to the bot at once.
  for (let n = 0; n < 15; n += 1) world.telegram.say('what about /rate?', { chatId: chat });
  world.telegram.say('/rate@another_bot btc usdt', { chatId: chat });
  expect(await ask('/rate@longshore_test_bot btc usdt')).toMatch(/^1 BTC/);
  expect(world.telegram.textsTo(chat)).toHaveLength(1);
});

it('shows help for /start, /help and what is no command', async () => {
  expect(await ask('/start')).toMatch(/^I tell exchange rates/);
  expect(await ask('/help deep-link')).toMatch(/\/convert 100 eur uah/);
  expect(await ask('hello')).toMatch(/commands only/);
  expect(await ask('/frobnicate')).toMatch(/commands only/);
});

it.each([
  '/rate',
  '/rate ../../etc/passwd',
  "/rate '; drop table subscriptions; -- usdt",
  '/rate \u0000\u202e btc',
  `/rate ${'9'.repeat(4_000)}`,
  '/convert NaN btc usdt',
  '/convert 1e999 btc usdt',
  '/convert -5 btc usdt',
  '/convert',
  '/subscribe btc usdt every 0s',
  '/subscribe btc usdt above <b>1</b>',
  '/subscribe btc usdt above 0',
  '/subscribe 🚀 🌕 above 1',
  '/stop all; --',
  '/stop 99999999999999999999',
])('%j has an answer, and leaves nothing behind', async (text) => {
  expect(await ask(text)).toMatch(/See \/help\.$/);
  expect(await subscriptions()).toEqual([]);
});

it.each([
  '',
  'x',
  'stop:',
  'stop:-1',
  'stop:1e9',
  'rate:a:b',
  'every:BTC:USDT:1',
  `rate:${'A'.repeat(60)}`,
  'rate:BTC:BTC',
])('answers the button %j of somebody else, and does nothing', async (data) => {
  const before = world.telegram.callsOf('answerCallbackQuery').length;
  world.telegram.press(data === '' ? ':' : data, { chatId: chat, personId: chat });
  await waitFor(() => world.telegram.callsOf('answerCallbackQuery').length > before, { describe: 'a toast' });
  expect(world.telegram.callsOf('answerCallbackQuery').at(-1)?.payload.text).toBe(
    'I do not know this button.',
  );
  expect(await subscriptions()).toEqual([]);
});
