import { afterEach, beforeEach, expect, it } from 'vitest';
import { BotWorld } from '../support/bot.ts';
import { waitFor } from '../support/wait-for.ts';

let world: BotWorld;
beforeEach(async () => {
  world = await BotWorld.start();
  await world.price('binance BTC-USDT', '69000');
});
afterEach(() => world?.stop());

const textsTo = (chatId: number, count: number) =>
  waitFor(
    () => world.telegram.textsTo(chatId),
    (texts) => texts.length >= count,
    { describe: `${count} message(s) to ${chatId}` },
  );
const rows = async (sql: string) => (await world.ledger.db.query(sql)).rows;

it('waits as long as a 429 says, for that chat alone', async () => {
  await world.startBot();
  world.telegram.fail('sendMessage', {
    status: 429,
    description: 'Too Many Requests: retry after 2',
    parameters: { retry_after: 2 },
  });
  world.telegram.say('/help', { chatId: 1, personId: 1 });
  await waitFor(() => world.telegram.callsOf('sendMessage').length === 1, {
    describe: 'the refused message',
  });
  world.telegram.say('/help', { chatId: 2, personId: 2 });
  await textsTo(2, 1);
  expect(world.telegram.textsTo(1)).toEqual([]);
  await textsTo(1, 1);
  const [refused, , sent] = world.telegram.callsOf('sendMessage');
  expect((sent?.atMs ?? 0) - (refused?.atMs ?? 0)).toBeGreaterThanOrEqual(1_990);
  expect(await world.metric('longshore_bot_messages_total', { outcome: 'limited' })).toBe(1);
});

it('leaves everybody in peace when several chats are limited at once', async () => {
  await world.startBot();
  const limit = {
    status: 429,
    description: 'Too Many Requests: retry after 2',
    parameters: { retry_after: 2 },
  };
  world.telegram.fail('sendMessage', limit, limit, limit);
  for (const chatId of [1, 2, 3]) world.telegram.say('/help', { chatId, personId: chatId });
  await waitFor(() => world.telegram.callsOf('sendMessage').length === 3, { describe: 'three refusals' });
  const lastMs = world.telegram.callsOf('sendMessage').at(-1)?.atMs ?? 0;
  world.telegram.say('/help', { chatId: 4, personId: 4 });
  for (const chatId of [1, 2, 3, 4]) await textsTo(chatId, 1);
  const next = world.telegram.callsOf('sendMessage')[3];
  expect((next?.atMs ?? 0) - lastMs).toBeGreaterThanOrEqual(1_900);
});

it('keeps what it has to say over a restart, in order', async () => {
  const first = await world.startBot();
  const down = { status: 502, description: 'Bad Gateway' };
  world.telegram.fail('sendMessage', ...Array<typeof down>(50).fill(down));
  world.telegram.say('/rate btc usdt');
  world.telegram.say('/help');
  await waitFor(async () => (await rows('select from bot_messages')).length === 2, {
    describe: 'two answers',
  });
  await waitFor(() => world.telegram.callsOf('sendMessage').length > 0, { describe: 'a failure' });
  await first.stop();
  world.telegram.recover('sendMessage');
  await world.startBot();
  const texts = await waitFor(
    () => world.telegram.textsTo(7),
    (seen) => seen.length >= 2,
    { timeoutMs: 20_000, describe: 'both answers' },
  );
  expect(texts).toEqual([expect.stringMatching(/^1 BTC/), expect.stringMatching(/^I tell/)]);
});

it('sends again when the answer was lost, since it cannot know; nothing is lost', async () => {
  await world.startBot();
  world.telegram.fail('sendMessage', 'reset');
  world.telegram.say('/help');
  await textsTo(7, 1);
  world.telegram.fail('sendMessage', 'lost');
  world.telegram.say('/list');
  expect(await textsTo(7, 3)).toHaveLength(3);
});

it('answers an update once, however often it comes', async () => {
  await world.startBot();
  const update = world.telegram.say('/subscribe btc usdt above 70000');
  await textsTo(7, 1);
  world.telegram.again(update);
  world.telegram.again(update);
  world.telegram.say('/help');
  await textsTo(7, 2);
  expect(world.telegram.textsTo(7)).toEqual([
    expect.stringMatching(/^Subscribed/),
    expect.stringMatching(/^I tell/),
  ]);
  expect(await rows('select from subscriptions')).toHaveLength(1);
});

it.each([
  { status: 403, description: 'Forbidden: bot was blocked by the user' },
  { status: 403, description: 'Forbidden: bot was kicked from the group chat' },
  { status: 400, description: 'Bad Request: chat not found' },
])('ends the subscriptions of a chat after $description', async (failure) => {
  await world.startBot();
  world.telegram.say('/subscribe btc usdt above 70000');
  world.telegram.say('/subscribe btc usdt every 1h');
  await textsTo(7, 2);
  world.telegram.say('/subscribe btc usdt every 1h', { chatId: 8, personId: 8 });
  await textsTo(8, 1);
  world.telegram.fail('sendMessage', failure);
  await world.price('binance BTC-USDT', '70001');
  await waitFor(async () => (await rows('select from subscriptions where chat_id = 7')).length === 0, {
    describe: 'the end of the subscriptions',
  });
  expect(await rows('select from subscriptions where chat_id = 8')).toHaveLength(1);
  expect(await rows('select from bot_messages where ended_at is null')).toEqual([]);
});

it('hears of a block at once', async () => {
  await world.startBot();
  world.telegram.say('/subscribe btc usdt above 70000');
  await textsTo(7, 1);
  world.telegram.block(7);
  await waitFor(async () => (await rows('select from subscriptions')).length === 0, { describe: 'the end' });
});

it('follows a group that became a supergroup', async () => {
  await world.startBot();
  world.telegram.say('/subscribe btc usdt above 70000', { chatId: -5 });
  await textsTo(-5, 1);
  const moved = {
    status: 400,
    description: 'Bad Request: group chat was upgraded to a supergroup chat',
    parameters: { migrate_to_chat_id: -1_001_234_567_890 },
  };
  world.telegram.fail('sendMessage', moved);
  await world.price('binance BTC-USDT', '70001');
  expect(await textsTo(-1_001_234_567_890, 1)).toEqual([expect.stringContaining('is above 70000')]);
  expect(await rows('select chat_id from subscriptions')).toEqual([{ chat_id: -1_001_234_567_890 }]);
});

it('drops a message that Telegram will never take, and goes on', async () => {
  await world.startBot();
  world.telegram.fail('sendMessage', { status: 400, description: 'Bad Request: message is too long' });
  world.telegram.say('/help');
  world.telegram.say('/list');
  expect(await textsTo(7, 1)).toEqual([expect.stringContaining('no subscriptions')]);
  expect(await rows('select error from bot_messages where error is not null')).toEqual([
    { error: '400: Bad Request: message is too long' },
  ]);
});

it("limits a person's flood, tells it once, and serves the others", async () => {
  await world.startBot({ perMinute: 6 });
  for (let n = 0; n < 30; n += 1) world.telegram.say('/help', { chatId: 1, personId: 1 });
  world.telegram.say('/help', { chatId: 2, personId: 2 });
  await textsTo(2, 1);
  const texts = await textsTo(1, 3);
  expect(texts.map((text) => text.slice(0, 7))).toEqual(['I tell ', 'I tell ', 'That is']);
  expect(await world.metric('longshore_bot_updates_total', { kind: 'limited' })).toBe(28);
});

it('takes updates by a webhook, from whoever knows the secret', async () => {
  const webhook = {
    url: 'https://bot.example/hook/telegram',
    secret: 'a-secret-of-the-test',
    host: '127.0.0.1',
    port: 0,
  };
  const bot = await world.startBot({ webhook });
  expect(world.telegram.webhook).toEqual({ url: webhook.url, secret: webhook.secret });
  const post = async (body: string, headers: Record<string, string> = {}, path = '/hook/telegram') => {
    const address = `http://127.0.0.1:${bot.port}${path}`;
    const answer = await fetch(address, {
      method: 'POST',
      body,
      headers,
      signal: AbortSignal.timeout(5_000),
    });
    return answer.status;
  };
  const known = { 'x-telegram-bot-api-secret-token': webhook.secret };
  const update = JSON.stringify(world.telegram.say('/rate btc usdt'));
  expect(await post(update)).toBe(403);
  expect(await post(update, { 'x-telegram-bot-api-secret-token': 'a-secret-of-the-tesT' })).toBe(403);
  expect(await post(update, known, '/elsewhere')).toBe(404);
  expect(await post('{"update_id":', known)).toBe(400);
  expect(await post('{"update_id":"1"}', known)).toBe(400);
  expect(await post('[]', known)).toBe(400);
  expect(await post(`{"update_id":1,"x":"${'x'.repeat(1_100_000)}"}`, known)).toBe(413);
  expect(world.telegram.messages).toEqual([]);
  expect(await post(update, known)).toBe(200);
  expect(await post(update, known)).toBe(200);
  expect(await textsTo(7, 1)).toEqual([expect.stringMatching(/^1 BTC/)]);
  expect(world.telegram.callsOf('getUpdates')).toEqual([]);
});
