import { hash } from 'node:crypto';
import type { Rate, RateLeg } from '../core/rates/rate.ts';
import type { RateBoard, RateQuestion } from '../core/rates/rate-board.ts';
import { iso } from './iso.ts';

/** A rate as REST shows it. */
export function viewRate(rate: Rate): Record<string, unknown> {
  const { base, quote, price, provider, via, stale } = rate;
  return {
    ...{ base, quote, price, provider, via },
    ...viewAge(rate),
    stale,
    legs: rate.legs.map(viewLeg),
  };
}

function viewLeg(leg: RateLeg): Record<string, unknown> {
  const { provider, base, quote, price, stale } = leg;
  return { ...{ provider, base, quote, price }, ...viewAge(leg), stale };
}

function viewAge({ atMs, ageMs }: { atMs: number; ageMs: number }): { at: string; ageSeconds: number } {
  return { at: iso(atMs), ageSeconds: Math.floor(ageMs / 1_000) };
}

/** Until when an answer may be kept: a fresh one until its next round, a stale one not at all. */
export function cacheControlOf({ stale, ageMs, intervalSeconds }: Rate): string {
  if (stale) return 'private, no-cache';
  const leftSeconds = Math.floor(intervalSeconds - ageMs / 1_000);
  return `private, max-age=${Math.max(1, Math.min(intervalSeconds, leftSeconds))}`;
}

/** Names what an answer says but for its age; of a stale one the age too. */
export function tagOf(rates: readonly Rate[], suffix = ''): string {
  const said = rates.map(({ base, quote, price, atMs, ageMs, stale }) => [
    base,
    quote,
    price,
    atMs,
    stale ? Math.floor(ageMs / 1_000) : null,
  ]);
  return `W/"${hash('sha256', JSON.stringify(said) + suffix).slice(0, 22)}"`;
}

/** The answer to one question, ready to be sent. */
export interface RateAnswer {
  /** ASCII, as all that rates are made of: with the headers it goes out in one write. */
  body: string;
  etag: string;
  cacheControl: string;
  stale: boolean;
}

const MAX_ANSWERS = 5_000;

/**
 * Answers of this second. A rate changes with its board only, and its age with the second: whoever asks in between gets the
 * same bytes.
 */
export class RateAnswers {
  readonly #boards = new WeakMap<RateBoard, { second: number; answers: Map<string, RateAnswer | null> }>();

  /** Null for a pair that is not known. */
  find(board: RateBoard, key: string, question: () => RateQuestion, nowMs: number): RateAnswer | null {
    const second = Math.floor(nowMs / 1_000);
    let held = this.#boards.get(board);
    if (held === undefined || held.second !== second || held.answers.size >= MAX_ANSWERS) {
      held = { second, answers: new Map() };
      this.#boards.set(board, held);
    }
    let answer = held.answers.get(key);
    if (answer === undefined) {
      answer = toAnswer(board.find(question(), nowMs));
      held.answers.set(key, answer);
    }
    return answer;
  }
}

function toAnswer(rate: Rate | null): RateAnswer | null {
  if (rate === null) return null;
  return {
    body: JSON.stringify(viewRate(rate)),
    etag: tagOf([rate]),
    cacheControl: cacheControlOf(rate),
    stale: rate.stale,
  };
}
