import { type Request, type Response, Router } from 'express';
import type { Rate } from '../../core/rates/rate.ts';
import { type Pair, parsePair } from '../../core/rates/rate.ts';
import type { RateBoard, RateQuestion } from '../../core/rates/rate-board.ts';
import { matchesTag } from '../content.ts';
import { invalidCursor } from '../cursor.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { invalidInput, Problem } from '../problem.ts';
import { rateListQuery, rateQuery } from '../rate-schemas.ts';
import { cacheControlOf, type RateAnswer, RateAnswers, tagOf, viewRate } from '../rate-view.ts';
import { DEFAULT_PAGE_LIMIT } from '../schemas.ts';
import { parseQuery } from '../validation.ts';

/** Current exchange rates, out of this process's memory. */
export function rateRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const answers = new RateAnswers();
  const answer = (req: Request, res: Response, board: RateBoard): void => {
    // The whole rest of the URL is the key: whoever asks the same gets the same.
    const question = (): RateQuestion => readQuestion(req);
    const found = answers.find(board, req.url, question, deps.clock.now());
    if (found === null) {
      deps.metrics.countRateRead('unknown');
      throw rateNotFound(board, readQuestion(req));
    }
    deps.metrics.countRateRead(found.stale ? 'stale' : 'fresh');
    send(req, res, found);
  };
  router.get('/v1/rates/:pair', requireScope('read'), (req, res) => {
    const board = deps.rates.board(principalOf(res).namespace);
    if (!(board instanceof Promise)) return answer(req, res, board);
    return withDeadline(board, deps.limits.requestTimeoutMs).then((loaded) => answer(req, res, loaded));
  });
  router.get('/v1/rates', requireScope('read'), async (req, res) => {
    const query = parseQuery(rateListQuery, req.url);
    const board = await boardOf(deps, res);
    const page = query.pairs === undefined ? pageOf(board, query) : { pairs: query.pairs, nextCursor: null };
    const nowMs = deps.clock.now();
    const found = page.pairs.map((pair) => ({
      pair,
      rate: board.find({ ...pair, provider: query.provider }, nowMs),
    }));
    const rates = found.flatMap(({ rate }) => (rate === null ? [] : [rate]));
    const missing = found.filter(({ rate }) => rate === null).map(({ pair }) => `${pair.base}-${pair.quote}`);
    // A tracked pair that has no quote yet is nobody's question: it is simply not in the list.
    const unknown = query.pairs === undefined ? [] : missing;
    for (const rate of rates) deps.metrics.countRateRead(rate.stale ? 'stale' : 'fresh');
    for (const _ of unknown) deps.metrics.countRateRead('unknown');
    send(req, res, {
      body: JSON.stringify({ rates: rates.map(viewRate), unknown, nextCursor: page.nextCursor }),
      etag: tagOf(rates, JSON.stringify([unknown, page.nextCursor])),
      cacheControl: rates.length === 0 ? 'private, no-cache' : shortest(rates),
      stale: false,
    });
  });
  return router;
}

/** The rates of whoever asks; rejects with a problem when they cannot be had in time. */
export function boardOf(deps: ApiDeps, res: Response): Promise<RateBoard> {
  const board = deps.rates.board(principalOf(res).namespace);
  return withDeadline(Promise.resolve(board), deps.limits.requestTimeoutMs);
}

/** The pair of the path, or an `InvalidInput` problem. */
export function readPair(req: Request): Pair {
  const pair = parsePair(String(req.params.pair));
  if (pair === null) throw invalidInput({ pointer: 'pair', detail: 'must be like BTC-USDT' });
  return pair;
}

export function readQuestion(req: Request): RateQuestion {
  return { ...readPair(req), provider: parseQuery(rateQuery, req.url).provider };
}

/** What is known of a pair that has no rate. */
export function rateNotFound(board: RateBoard, question: RateQuestion): Problem {
  const name = `${question.base}-${question.quote}`;
  const [tracked] = board.tracked(question);
  if (tracked === undefined) return new Problem('NotFound', `${name} is not tracked, nor can it be computed`);
  const why = tracked.error === null ? 'it was not asked for yet' : tracked.error;
  return new Problem('NotFound', `${name} is tracked at ${tracked.provider}, but has no rate: ${why}`);
}

function send(req: Request, res: Response, { body, etag, cacheControl }: RateAnswer): void {
  res.setHeader('ETag', etag);
  res.setHeader('Cache-Control', cacheControl);
  if (req.headers['if-none-match'] !== undefined && matchesTag(req.headers['if-none-match'], etag)) {
    res.statusCode = 304;
    res.end();
    return;
  }
  res.setHeader('Content-Type', 'application/json; charset=utf-8');
  res.setHeader('Content-Length', body.length);
  if (req.method === 'HEAD') res.end();
  else res.end(body, 'latin1');
}

function shortest(rates: readonly Rate[]): string {
  const controls = rates.map(cacheControlOf);
  if (controls.includes('private, no-cache')) return 'private, no-cache';
  const seconds = controls.map((control) => Number(control.split('=')[1]));
  return `private, max-age=${Math.min(...seconds)}`;
}

/** Tracked pairs in the order of their names, each once, after the cursor. */
function pageOf(
  board: RateBoard,
  {
    limit = DEFAULT_PAGE_LIMIT,
    cursor,
    provider,
  }: { limit?: number | undefined; cursor?: string | undefined; provider?: string | undefined },
): { pairs: Pair[]; nextCursor: string | null } {
  const after = cursor === undefined ? '' : decodePair(cursor);
  const names = board.rates
    .filter((rate) => rate.price !== null && (provider === undefined || rate.provider === provider))
    .map(({ base, quote }) => `${base}-${quote}`);
  const rest = [...new Set(names)].toSorted().filter((name) => name > after);
  const pairs = rest.slice(0, limit);
  const last = pairs.at(-1);
  return {
    pairs: pairs.flatMap((name) => parsePair(name) ?? []),
    nextCursor:
      rest.length > limit && last !== undefined ? Buffer.from(`r.${last}`).toString('base64url') : null,
  };
}

function decodePair(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  if (text.startsWith('r.') && parsePair(text.slice(2)) !== null) return text.slice(2);
  throw invalidCursor();
}
