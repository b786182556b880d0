import type { Logger } from '../core/logger.ts';
import { ASSET } from '../core/rates/rate.ts';
import { queueAnswer } from '../ledger/bot-messages.ts';
import type { Database } from '../ledger/database.ts';
import { endChat } from '../ledger/subscriptions.ts';
import { COMMANDS, type CommandName, type Conversation } from './conversation.ts';
import type { FloodLimit } from './flood.ts';
import { type Bot, type Context, callSignal, readFailure, toOptions } from './telegram.ts';
import type { Reply } from './wording.ts';

export interface HandlerOptions {
  db: Database;
  namespace: string;
  conversation: Conversation;
  flood: FloodLimit;
  logger: Logger;
  /** There is something to send. */
  onQueued(): void;
  /** Told of each update, for metrics. */
  onUpdate(kind: string): void;
}

/**
 * What happens to each update. Handling one twice changes nothing more, so an update is confirmed to Telegram only after it was
 * handled; answers go through the outbox, so they outlive this process.
 */
export function addHandlers(bot: Bot, options: HandlerOptions): void {
  const { conversation, flood, onUpdate } = options;
  bot.on('my_chat_member', async (ctx) => {
    onUpdate('member');
    const { status } = ctx.myChatMember.new_chat_member;
    if (status === 'kicked' || status === 'left')
      await endChat(options.db, options.namespace, ctx.chat.id, 'The bot was blocked');
  });
  bot.use(async (ctx, next) => {
    // In a group most messages are for others: only what is meant for the bot counts.
    if (isTalk(ctx)) return next();
    const verdict = flood.take(ctx.from?.id ?? ctx.chat?.id ?? 0);
    if (verdict === 'pass') return next();
    onUpdate('limited');
    if (verdict !== 'ignore') await refuseFlood(ctx, verdict.tell, options);
  });
  for (const command of [...COMMANDS.map(({ command }) => command), 'start' as const])
    bot.command(command, async (ctx) => {
      onUpdate(command);
      await answer(
        ctx,
        await conversation.answer(command satisfies CommandName, ctx.match, ctx.chat.id),
        options,
      );
    });
  bot.on('callback_query:data', async (ctx) => {
    onUpdate('button');
    await press(ctx, ctx.callbackQuery.data, options);
  });
  bot.on('message', async (ctx) => {
    onUpdate('other');
    // In a group most messages are for others.
    if (ctx.chat.type === 'private')
      await answer(ctx, { text: 'I understand commands only. See /help.' }, options);
  });
}

/** A message in a group that is no command. */
function isTalk({ chat, message }: Context): boolean {
  if (message === undefined || chat === undefined || chat.type === 'private') return false;
  return message.entities?.some(({ type, offset }) => type === 'bot_command' && offset === 0) !== true;
}

async function answer(
  ctx: Context,
  reply: Reply,
  { db, namespace, onQueued }: HandlerOptions,
): Promise<void> {
  if (ctx.chat === undefined) return;
  const content = { kind: 'answer', reply };
  const { id: chatId } = ctx.chat;
  if (await queueAnswer(db, { namespace, chatId, updateId: ctx.update.update_id, content })) onQueued();
}

async function refuseFlood(ctx: Context, seconds: number, options: HandlerOptions): Promise<void> {
  const text = `That is too much at once. Try again in ${seconds} s.`;
  if (ctx.callbackQuery === undefined) await answer(ctx, { text }, options);
  else await toast(ctx, text, options.logger);
}

/** What a button says was ours once, but whoever presses may send anything in its place. */
async function press(ctx: Context, data: string, options: HandlerOptions): Promise<void> {
  const { conversation, logger } = options;
  const [action = '', ...rest] = data.split(':');
  const chatId = ctx.chat?.id;
  if (chatId === undefined) return toast(ctx, 'This message is too old.', logger);
  if (action === 'stop' && /^\d{1,15}$/.test(rest[0] ?? ''))
    return toast(ctx, (await conversation.stop(chatId, Number(rest[0]))).text, logger);
  const [base = '', quote = '', seconds] = rest;
  if (!ASSET.test(base) || !ASSET.test(quote) || base === quote)
    return toast(ctx, 'I do not know this button.', logger);
  if (action === 'every' && seconds === '3600') {
    const rule = { kind: 'every', seconds: 3_600 } as const;
    return toast(ctx, (await conversation.subscribe(chatId, { base, quote }, rule)).text, logger);
  }
  if (action !== 'rate') return toast(ctx, 'I do not know this button.', logger);
  await refresh(ctx, await conversation.rate({ base, quote }), options);
}

/** The message shows the rate of now; without one that can be changed there is a new one. */
async function refresh(ctx: Context, reply: Reply, options: HandlerOptions): Promise<void> {
  await toast(ctx, '', options.logger);
  try {
    await ctx.editMessageText(reply.text, toOptions(reply), callSignal());
  } catch (error) {
    const { kind, reason } = readFailure(error);
    // Telegram refuses a change that changes nothing.
    if (kind === 'refused' && reason.includes('not modified')) return;
    options.logger.debug({ reason }, 'Failed to change a message');
    await answer(ctx, reply, options);
  }
}

/** Best effort: a button that is not answered spins for a while, and no more. */
async function toast(ctx: Context, text: string, logger: Logger): Promise<void> {
  try {
    await ctx.answerCallbackQuery({ text: text.slice(0, 200) }, callSignal());
  } catch (error) {
    logger.debug({ reason: readFailure(error).reason }, 'Failed to answer a button');
  }
}
