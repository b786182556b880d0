import { type Request, type Response, Router } from 'express';
import { dayIn } from '../../core/meter-reading.ts';
import type { Queryable } from '../../ledger/database.ts';
import { listReadings, readBill } from '../../ledger/meter-readings.ts';
import { getMeter } from '../../ledger/meters.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { Problem } from '../problem.ts';
import { billQuery, meterId, readingListQuery } from '../reading-schemas.ts';
import { viewBill, viewReading } from '../reading-view.ts';
import { sendJson } from '../respond.ts';
import { DEFAULT_PAGE_LIMIT, noQuery } from '../schemas.ts';
import { parseQuery } from '../validation.ts';

/** A meter, its readings and its bills; from the read replica where there is one. */
export function meterRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const query = <T>(work: (db: Queryable) => Promise<T>) =>
    withDeadline(deps.readings.query(work), deps.limits.requestTimeoutMs);
  router.get('/v1/meters/:id', requireScope('read'), async (req, res) => {
    parseQuery(noQuery, req.url);
    const { namespace, id } = meterOf(req, res);
    const meter = await query((db) => getMeter(db, namespace, id));
    if (meter === null) throw meterNotFound();
    const self = `/v1/meters/${id}`;
    sendJson(res, 200, { ...meter, links: { self, readings: `${self}/readings`, bill: `${self}/bill` } });
  });
  router.get('/v1/meters/:id/readings', requireScope('read'), async (req, res) => {
    const { limit = DEFAULT_PAGE_LIMIT, cursor } = parseQuery(readingListQuery, req.url);
    const meter = meterOf(req, res);
    const beforeId = cursor === undefined ? null : decodeCursor(cursor, meter);
    const found = await query(async (db) => {
      const rows = await listReadings(db, meter, { limit: limit + 1, beforeId });
      if (rows.length === 0 && (await getMeter(db, meter.namespace, meter.id)) === null)
        throw meterNotFound();
      return rows;
    });
    const readings = found.slice(0, limit);
    const last = found.length > limit ? readings.at(-1) : undefined;
    sendJson(res, 200, {
      readings: readings.map(viewReading),
      nextCursor: last === undefined ? null : encodeCursor(last.id, meter),
    });
  });
  router.get('/v1/meters/:id/bill', requireScope('read'), async (req, res) => {
    const asked = parseQuery(billQuery, req.url);
    const meter = meterOf(req, res);
    const month = asked.month ?? dayIn(deps.readings.timeZone, deps.clock.now()).slice(0, 7);
    const bill = await query(async (db) => {
      if ((await getMeter(db, meter.namespace, meter.id)) === null) throw meterNotFound();
      return readBill(db, meter, month);
    });
    sendJson(res, 200, viewBill(meter.id, month, bill));
  });
  return router;
}

function meterOf(req: Request, res: Response): { namespace: string; id: string } {
  const id = meterId.safeParse(req.params.id);
  if (!id.success) throw meterNotFound();
  return { namespace: principalOf(res).namespace, id: id.data };
}

function meterNotFound(): Problem {
  return new Problem('NotFound', 'There is no such meter');
}
