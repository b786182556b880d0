import { Router } from 'express';
import type { RateBoard, RateQuestion } from '../../core/rates/rate-board.ts';
import { type HistoryStep, readRateHistory } from '../../ledger/rates.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { iso } from '../iso.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { invalidInput, Problem } from '../problem.ts';
import { DEFAULT_POINTS, rateHistoryQuery } from '../rate-schemas.ts';
import { sendJson } from '../respond.ts';
import { parseQuery } from '../validation.ts';
import { boardOf, readPair } from './rates.ts';

const HOUR_MS = 3_600_000;
/** How far back an answer goes when it is not said. */
const DEFAULT_REACH_MS: Record<HistoryStep, number> = {
  raw: HOUR_MS,
  '1m': 6 * HOUR_MS,
  '1h': 7 * 24 * HOUR_MS,
  '1d': 365 * 24 * HOUR_MS,
};

/** What a pair has cost, as one provider had it. */
export function rateHistoryRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.get('/v1/rates/:pair/history', requireScope('read'), async (req, res) => {
    const pair = readPair(req);
    const { step, limit = DEFAULT_POINTS, ...query } = parseQuery(rateHistoryQuery, req.url);
    const toMs = query.to === undefined ? deps.clock.now() : Date.parse(query.to);
    const fromMs = query.from === undefined ? toMs - DEFAULT_REACH_MS[step] : Date.parse(query.from);
    if (fromMs >= toMs) throw invalidInput({ pointer: '?from', detail: 'must be before `to`' });
    const question = { ...pair, provider: query.provider };
    const provider = providerOf(await boardOf(deps, res), question, deps.clock.now());
    const { namespace } = principalOf(res);
    const history = readRateHistory(deps.db, {
      ...{ namespace, provider, ...pair, step, fromMs, toMs },
      limit: limit + 1,
    });
    const found = (await withDeadline(history, deps.limits.requestTimeoutMs)) ?? [];
    const next = found[limit];
    sendJson(res, 200, {
      ...{ ...pair, provider, step, from: iso(fromMs), to: iso(toMs) },
      points: found.slice(0, limit).map(({ atMs, ...point }) => ({ at: iso(atMs), ...point })),
      nextFrom: next === undefined ? null : iso(next.atMs),
    });
  });
  return router;
}

/** Whose history is meant: the one that was asked for, else the one whose quote is given now. */
function providerOf(board: RateBoard, question: RateQuestion, nowMs: number): string {
  const tracked = board.tracked(question);
  const [first] = tracked;
  if (first === undefined) {
    const name = `${question.base}-${question.quote}`;
    throw new Problem(
      'NotFound',
      `${name} is not tracked${question.provider ? ' there' : ''}: only tracked pairs have a history`,
    );
  }
  const now = board.find(question, nowMs)?.provider;
  return tracked.find(({ provider }) => provider === now)?.provider ?? first.provider;
}
