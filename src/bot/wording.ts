import { multiply, roundTo } from '../core/rates/decimal.ts';
import type { Pair, Rate } from '../core/rates/rate.ts';
import type { RateBoard } from '../core/rates/rate-board.ts';
import type { JudgedPrice, Subscription, SubscriptionRule } from '../ledger/subscriptions.ts';

export interface Button {
  text: string;
  /** What comes back when it is pressed; 64 bytes at most. */
  data: string;
}

/** What is sent: plain text, without markup, so that nothing in it has to be escaped. */
export interface Reply {
  text: string;
  /** Rows of buttons. */
  buttons?: Button[][];
}

/** Digits of what was computed; what a provider said is shown to its last digit. */
const SHOWN_DIGITS = 8;
const MINUTE = 60;
const HOUR = 3_600;
const DAY = 86_400;
/** An alert that comes later says so. */
const LATE_MS = 60_000;

export const HELP = [
  'I tell exchange rates.',
  '',
  '/rate btc usdt — what one costs in the other',
  '/convert 100 eur uah — an amount in another asset',
  '/subscribe btc usdt above 70000 — told once each time it gets there; or below 60000',
  '/subscribe btc usdt every 1h — told that often, from 1m to 30d',
  '/list — your subscriptions',
  '/stop — end all of them; /stop 12 ends one',
].join('\n');

/** What a pair costs now, as alerts and reports carry it; null without any price. */
export function priceOn(board: RateBoard, pair: Pair, nowMs: number): JudgedPrice | null {
  const rate = board.find(pair, nowMs);
  return rate === null ? null : toPrice(rate);
}

/** The price of a board as alerts and reports carry it. */
export function toPrice(rate: Rate): JudgedPrice {
  const { base, quote, price, atMs, freshUntilMs } = rate;
  const exact = rate.legs.length === 1 && rate.legs[0]?.base === base;
  return { base, quote, price, atMs, freshUntilMs, exact };
}

export function rateReply(rate: JudgedPrice, nowMs: number): Reply {
  const { base, quote } = rate;
  return {
    text: `1 ${base} ${shown(rate)} ${quote}\n${ageLine(rate, nowMs)}`,
    buttons: [
      [
        { text: 'Refresh', data: `rate:${base}:${quote}` },
        { text: 'Every hour', data: `every:${base}:${quote}:3600` },
      ],
    ],
  };
}

export function conversionReply(amount: string, rate: JudgedPrice, nowMs: number): Reply {
  const product = multiply(amount, rate.price);
  const rounded = roundTo(SHOWN_DIGITS, product);
  const sign = rate.exact && rounded === product ? '=' : '≈';
  return {
    text: `${amount} ${rate.base} ${sign} ${rounded} ${rate.quote}\n1 ${rate.base} ${shown(rate)} ${rate.quote}\n${ageLine(rate, nowMs)}`,
  };
}

export function unknownReply({ base, quote }: Pair, known: readonly Pair[]): Reply {
  const names = known.map((pair) => `${pair.base}/${pair.quote}`).join(', ');
  return { text: `I have no rate for ${base}/${quote}.${names === '' ? '' : `\nI know ${names}.`}` };
}

/** @param outcome - What became of it; `met`: the price is there already. */
export function subscribedReply(
  pair: Pair,
  rule: SubscriptionRule,
  outcome: 'added' | 'existing' | 'full',
  met: boolean | null,
): Reply {
  if (outcome === 'full')
    return { text: 'You have as many subscriptions as I can keep. End one with /list or /stop.' };
  const wish = `${pair.base}/${pair.quote} ${describeRule(rule)}`;
  if (outcome === 'existing') return { text: `You are subscribed already: ${wish}.` };
  const note = met === true ? '\nIt is there now: I tell you the next time it gets there.' : '';
  return { text: `Subscribed: ${wish}.${note}` };
}

export function listReply(subscriptions: readonly Subscription[]): Reply {
  if (subscriptions.length === 0)
    return { text: 'You have no subscriptions. Begin with /subscribe btc usdt every 1h' };
  const lines = subscriptions.map(
    ({ id, base, quote, rule }) => `${id}. ${base}/${quote} ${describeRule(rule)}`,
  );
  const buttons = subscriptions.map(({ id }) => ({ text: `Stop ${id}`, data: `stop:${id}` }));
  const rows = Array.from({ length: Math.ceil(buttons.length / 4) }, (_, row) =>
    buttons.slice(row * 4, row * 4 + 4),
  );
  // Telegram takes 4,096 characters and 100 buttons.
  const text = cut(lines, 3_800);
  return { text, buttons: rows.slice(0, 24) };
}

export function stoppedReply(count: number, id: number | null): Reply {
  if (count === 0)
    return {
      text: id === null ? 'You have no subscriptions.' : 'There is no such subscription of yours; see /list.',
    };
  return { text: id === null ? `Ended ${count} subscription(s).` : `Ended subscription ${id}.` };
}

export function alertReply(
  alert: { subscription: number; direction: 'above' | 'below'; threshold: string; rate: JudgedPrice },
  nowMs: number,
): Reply {
  const { rate, direction, threshold } = alert;
  const late = nowMs - rate.atMs > LATE_MS ? `, ${ageOf(nowMs - rate.atMs)} ago` : '';
  return {
    text: `${rate.base}/${rate.quote} is ${direction} ${threshold}: ${rate.exact ? '' : '≈ '}${digits(rate)} (${timeOf(rate.atMs)}${late})`,
    buttons: [
      [
        { text: 'Rate now', data: `rate:${rate.base}:${rate.quote}` },
        { text: 'Stop', data: `stop:${alert.subscription}` },
      ],
    ],
  };
}

export function reportReply(
  report: { subscription: number; base: string; quote: string; rate: JudgedPrice | null },
  nowMs: number,
): Reply {
  const { rate, base, quote } = report;
  const stop = { text: 'Stop', data: `stop:${report.subscription}` };
  if (rate === null) return { text: `I have no rate for ${base}/${quote} now.`, buttons: [[stop]] };
  return {
    text: rateReply(rate, nowMs).text,
    buttons: [[{ text: 'Refresh', data: `rate:${base}:${quote}` }, stop]],
  };
}

function describeRule(rule: SubscriptionRule): string {
  return rule.kind === 'every' ? `every ${period(rule.seconds)}` : `${rule.kind} ${rule.threshold}`;
}

function period(seconds: number): string {
  if (seconds % DAY === 0) return `${seconds / DAY}d`;
  if (seconds % HOUR === 0) return `${seconds / HOUR}h`;
  return seconds % MINUTE === 0 ? `${seconds / MINUTE}m` : `${seconds}s`;
}

function shown(rate: JudgedPrice): string {
  return `${rate.exact ? '=' : '≈'} ${digits(rate)}`;
}

function digits({ price, exact }: JudgedPrice): string {
  return exact ? price : roundTo(SHOWN_DIGITS, price);
}

/** A stale rate is never shown without saying so. */
function ageLine({ atMs, freshUntilMs }: JudgedPrice, nowMs: number): string {
  const ageMs = Math.max(0, nowMs - atMs);
  return nowMs > freshUntilMs
    ? `⚠ Stale: ${ageOf(ageMs)} old (${timeOf(atMs)})`
    : `${timeOf(atMs)}, ${ageOf(ageMs)} old`;
}

function ageOf(ms: number): string {
  const seconds = Math.floor(Math.max(0, ms) / 1_000);
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  return seconds < DAY ? `${Math.floor(seconds / HOUR)} h` : `${Math.floor(seconds / DAY)} d`;
}

function timeOf(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** Whole lines, as many as fit. */
function cut(lines: readonly string[], characters: number): string {
  let length = 0;
  const fitting = lines.filter((line) => {
    length += line.length + 1;
    return length <= characters;
  });
  return fitting.length < lines.length
    ? [...fitting, `… and ${lines.length - fitting.length} more`].join('\n')
    : fitting.join('\n');
}
