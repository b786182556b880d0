import type { Clock } from '../core/clock.ts';
import { compareDecimals } from '../core/rates/decimal.ts';
import type { Pair } from '../core/rates/rate.ts';
import type { RateBoard } from '../core/rates/rate-board.ts';
import type { RateReader } from '../core/rates/rate-reader.ts';
import type { Database } from '../ledger/database.ts';
import {
  addSubscription,
  listSubscriptions,
  removeSubscriptions,
  type SubscriptionRule,
} from '../ledger/subscriptions.ts';
import { parseConversion, parsePairArgument, parseStop, parseSubscription } from './parse.ts';
import {
  conversionReply,
  HELP,
  listReply,
  priceOn,
  type Reply,
  rateReply,
  stoppedReply,
  subscribedReply,
  unknownReply,
} from './wording.ts';

export interface ConversationOptions {
  db: Database;
  rates: RateReader;
  namespace: string;
  clock: Clock;
  maxSubscriptions: number;
}

/** In the order of the menu that Telegram shows. */
export const COMMANDS = [
  { command: 'rate', description: 'What one asset costs: /rate btc usdt' },
  { command: 'convert', description: 'An amount in another asset: /convert 100 eur uah' },
  { command: 'subscribe', description: 'Be told: /subscribe btc usdt above 70000, or every 1h' },
  { command: 'list', description: 'Your subscriptions' },
  { command: 'stop', description: 'End all subscriptions, or one: /stop 12' },
  { command: 'help', description: 'What I understand' },
] as const;

export type CommandName = (typeof COMMANDS)[number]['command'] | 'start';

/** Pairs that an answer about an unknown one names. */
const NAMED_PAIRS = 20;

/** What the bot answers, apart from Telegram. Doing the same twice changes nothing more. */
export class Conversation {
  readonly #options: ConversationOptions;

  constructor(options: ConversationOptions) {
    this.#options = options;
  }

  /** @param text - What follows the command; may be anything. */
  async answer(command: CommandName, text: string, chatId: number): Promise<Reply> {
    switch (command) {
      case 'rate':
        return this.#rate(text);
      case 'convert':
        return this.#convert(text);
      case 'subscribe': {
        const wish = parseSubscription(text);
        return 'mistake' in wish ? mistaken(wish.mistake) : this.subscribe(chatId, wish.pair, wish.rule);
      }
      case 'list':
        return listReply(await listSubscriptions(this.#options.db, this.#options.namespace, chatId));
      case 'stop': {
        const which = parseStop(text);
        return 'mistake' in which ? mistaken(which.mistake) : this.stop(chatId, which.id);
      }
      case 'start':
      case 'help':
        return { text: HELP };
      default:
        return command satisfies never;
    }
  }

  async rate(pair: Pair): Promise<Reply> {
    const board = await this.#board();
    const nowMs = this.#options.clock.now();
    const price = priceOn(board, pair, nowMs);
    return price === null ? this.#unknown(board, pair) : rateReply(price, nowMs);
  }

  async subscribe(chatId: number, pair: Pair, rule: SubscriptionRule): Promise<Reply> {
    const board = await this.#board();
    const rate = board.find(pair, this.#options.clock.now());
    // A tracked pair may be without a price yet; one that nobody knows would never say anything.
    if (rate === null && board.tracked(pair).length === 0) return this.#unknown(board, pair);
    const met = rate === null || rate.stale ? null : isMet(rule, rate.price);
    const { db, namespace, maxSubscriptions } = this.#options;
    const outcome = await addSubscription(db, { namespace, chatId, ...pair, rule, met }, maxSubscriptions);
    return subscribedReply(pair, rule, outcome, met);
  }

  /** @param id - Null ends all of the chat. */
  async stop(chatId: number, id: number | null): Promise<Reply> {
    const { db, namespace } = this.#options;
    return stoppedReply(await removeSubscriptions(db, namespace, chatId, id), id);
  }

  async #rate(text: string): Promise<Reply> {
    const pair = parsePairArgument(text);
    return 'mistake' in pair ? mistaken(pair.mistake) : this.rate(pair);
  }

  async #convert(text: string): Promise<Reply> {
    const wish = parseConversion(text);
    if ('mistake' in wish) return mistaken(wish.mistake);
    const board = await this.#board();
    const nowMs = this.#options.clock.now();
    const price = priceOn(board, wish.pair, nowMs);
    return price === null ? this.#unknown(board, wish.pair) : conversionReply(wish.amount, price, nowMs);
  }

  async #board(): Promise<RateBoard> {
    return this.#options.rates.board(this.#options.namespace);
  }

  #unknown(board: RateBoard, pair: Pair): Reply {
    const names = new Map(board.rates.map(({ base, quote }) => [`${base}/${quote}`, { base, quote }]));
    return unknownReply(pair, [...names.values()].slice(0, NAMED_PAIRS));
  }
}

function mistaken(text: string): Reply {
  return { text: `${text}\nSee /help.` };
}

function isMet(rule: SubscriptionRule, price: string): boolean | null {
  if (rule.kind === 'every') return null;
  const difference = compareDecimals(price, rule.threshold);
  return rule.kind === 'above' ? difference > 0 : difference < 0;
}
