import { Router } from 'express';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { openEventStream } from '../event-stream.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { viewRate } from '../rate-view.ts';
import { boardOf, rateNotFound, readQuestion } from './rates.ts';

/** How soon it is told that a rate has become stale. */
const LOOK_MS = 1_000;

/** A rate as it changes: at once as it is, then each new one, and when it becomes stale. Who reads slowly misses some. */
export function rateStreamRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.get('/v1/rates/:pair/stream', requireScope('read'), async (req, res) => {
    const question = readQuestion(req);
    const principal = principalOf(res);
    const first = await boardOf(deps, res);
    if (first.find(question, deps.clock.now()) === null && first.tracked(question).length === 0) {
      throw rateNotFound(first, question);
    }
    let board = first;
    let told = '';
    const look = (): void => {
      const rate = board.find(question, deps.clock.now());
      if (rate === null) return;
      const news = `${rate.price} ${rate.atMs} ${rate.stale}`;
      if (news === told) return;
      told = news;
      events.send({ id: board.version, event: 'rate', data: viewRate(rate) });
    };
    const subscription = deps.rates.subscribe(principal.namespace, (newer) => {
      board = newer;
      look();
    });
    const unsubscribe = await withDeadline(subscription, deps.limits.requestTimeoutMs);
    if (res.destroyed) return unsubscribe();
    const events = openStream();
    const timer = setInterval(look, LOOK_MS);
    events.onClose(() => {
      clearInterval(timer);
      unsubscribe();
    });
    look();

    function openStream() {
      try {
        return openEventStream(res, principal, deps.limits);
      } catch (error) {
        unsubscribe();
        throw error;
      }
    }
  });
  return router;
}
