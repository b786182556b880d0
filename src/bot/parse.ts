import { parsePrice } from '../core/rates/decimal.ts';
import { ASSET, type Pair } from '../core/rates/rate.ts';
import { parseEvery } from '../core/schedule.ts';
import type { SubscriptionRule } from '../ledger/subscriptions.ts';

/** What a person did wrong, as it is told to them. Never has their own words in it, which could be anything. */
export interface Mistake {
  mistake: string;
}

/** A command is a line; whatever is longer is none. */
const MAX_LENGTH = 200;
const PAIR = /^([A-Za-z0-9]{1,20})[\s/-]+(?:(?:to|in)\s+)?([A-Za-z0-9]{1,20})(?:\s+(\S.*))?$/s;
const LEAST_SECONDS = 60;
const MOST_SECONDS = 30 * 86_400;

const NO_PAIR = 'Write two assets, like btc usdt.';
const NO_AMOUNT = 'Write the amount as a number above 0, with a point: 1000.50';
const NO_THRESHOLD = 'Write the threshold as a number above 0, with a point: 70000.5';
const NO_RULE = 'Say when: above 70000, below 60000, or every 1h.';
const NO_PERIOD = 'Write the period like 5m, 1h or 1d: from 1m to 30d.';

/** `btc usdt`, `BTC-USDT`, `btc/usdt`, and nothing after it. */
export function parsePairArgument(text: string): Pair | Mistake {
  const found = readPair(text);
  return found === null || found.rest !== '' ? { mistake: NO_PAIR } : found.pair;
}

/** `100 eur uah`, `100 eur to uah`; the amount is exact decimal text. */
export function parseConversion(text: string): { amount: string; pair: Pair } | Mistake {
  const [word = '', ...rest] = text
    .trim()
    .slice(0, MAX_LENGTH + 1)
    .split(/\s+/);
  const amount = parsePrice(word);
  if (amount === null) return { mistake: NO_AMOUNT };
  const pair = parsePairArgument(text.trim().length > MAX_LENGTH ? '' : rest.join(' '));
  return 'mistake' in pair ? pair : { amount, pair };
}

/** `btc usdt above 70000`, `btc usdt below 60000`, `btc usdt every 1h`. */
export function parseSubscription(text: string): { pair: Pair; rule: SubscriptionRule } | Mistake {
  const found = readPair(text);
  if (found === null) return { mistake: NO_PAIR };
  const [word = '', value = '', ...more] = found.rest.split(/\s+/);
  if (more.length > 0) return { mistake: NO_RULE };
  const rule = readRule(word.toLowerCase(), value);
  return 'mistake' in rule ? rule : { pair: found.pair, rule };
}

/** The number of a subscription, or null for all of them. */
export function parseStop(text: string): { id: number | null } | Mistake {
  const word = text.trim();
  if (word === '') return { id: null };
  return /^#?\d{1,15}$/.test(word)
    ? { id: Number(word.replace('#', '')) }
    : { mistake: 'Write /stop alone for all, or with a number from /list: /stop 12' };
}

function readRule(word: string, value: string): SubscriptionRule | Mistake {
  if (word === 'above' || word === 'below') {
    const threshold = parsePrice(value);
    return threshold === null ? { mistake: NO_THRESHOLD } : { kind: word, threshold };
  }
  if (word !== 'every') return { mistake: NO_RULE };
  const seconds = parseEvery(value.toLowerCase());
  return seconds === null || seconds < LEAST_SECONDS || seconds > MOST_SECONDS
    ? { mistake: NO_PERIOD }
    : { kind: 'every', seconds };
}

function readPair(text: string): { pair: Pair; rest: string } | null {
  const line = text.trim();
  if (line.length > MAX_LENGTH) return null;
  const [, base = '', quote = '', rest = ''] = PAIR.exec(line) ?? [];
  const pair = { base: base.toUpperCase(), quote: quote.toUpperCase() };
  return ASSET.test(pair.base) && ASSET.test(pair.quote) && pair.base !== pair.quote ? { pair, rest } : null;
}
