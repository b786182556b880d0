import { type Request, type RequestHandler, type Response, Router } from 'express';
import {
  MAX_READING_AHEAD_MS,
  type MeterReading,
  type NewReading,
  TOTAL_ZONE,
  toNewReading,
} from '../../core/meter-reading.ts';
import { getReading } from '../../ledger/meter-readings.ts';
import type { SentReading, StoredReading } from '../../ledger/store-readings.ts';
import { MAX_MISTAKES } from '../../types/input-mistakes.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf, traceparentOf } from '../deps.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { invalidInput, Problem, type ProblemError } from '../problem.ts';
import { readJson } from '../read-body.ts';
import { tooManyReadings } from '../reading-intake.ts';
import { type ReadingRequest, readingBatchRequest, readingRequest } from '../reading-schemas.ts';
import { readingLinks, receivedReading, viewReading } from '../reading-view.ts';
import { sendJson } from '../respond.ts';
import { toIdempotencyKey } from '../submission.ts';
import { parseWith } from '../validation.ts';

/** Of the requests that may be under way, readings take this much: what comes to look at things still gets in. */
const SHARE_OF_REQUESTS = 0.8;
/** A batch is up to a thousand readings: some twenty at once are as much as memory should hold. */
const BATCH_WEIGHT = 40;
const MAX_AGE_MS = 400 * 24 * 3_600_000;

/** Taking readings, one or up to a thousand, and reading one. */
export function meterReadingRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const bounded = limitReadings(Math.max(1, Math.floor(deps.limits.maxInFlight * SHARE_OF_REQUESTS)));
  router.post('/v1/meter-readings', requireScope('submit'), bounded(1), async (req, res) => {
    const body = await readBody(deps, req);
    const sent = toSent(deps, req, res, parseWith(readingRequest, body), '');
    sent.key = toIdempotencyKey(req.get('Idempotency-Key'), body);
    await takeOne(deps, res, sent);
  });
  router.post(
    '/v1/meter-readings\\:batch',
    requireScope('submit'),
    bounded(BATCH_WEIGHT),
    async (req, res) => {
      const { readings } = parseWith(readingBatchRequest, await readBody(deps, req));
      await takeMany(deps, res, toSentBatch(deps, req, res, readings));
    },
  );
  router.get('/v1/meter-readings/:id', requireScope('read'), async (req, res) => {
    sendJson(res, 200, viewReading(await findReading(deps, res, req.params.id as string)));
  });
  return router;
}

/** Floods are refused before anything of a request is read. */
function limitReadings(most: number): (weight: number) => RequestHandler {
  let underWay = 0;
  return (weight) => (_req, res, next) => {
    if (underWay >= most) return next(tooManyReadings());
    underWay += weight;
    res.once('close', () => {
      underWay -= weight;
    });
    next();
  };
}

function readBody({ limits }: ApiDeps, req: Request): Promise<unknown> {
  return readJson(req, { maxBytes: limits.jsonBytes, timeoutMs: limits.bodyTimeoutMs });
}

/** A request as the ledger takes it; throws a problem for a time that no reading has. */
function toSent(
  deps: ApiDeps,
  req: Request,
  res: Response,
  request: ReadingRequest,
  base: string,
): SentReading {
  const { namespace } = principalOf(res);
  const now = deps.clock.now();
  const readAtMs = request.readAt === undefined ? now : Date.parse(request.readAt);
  const refuse = (detail: string) => invalidInput({ pointer: `${base}/readAt`, detail });
  if (Number.isNaN(readAtMs)) throw refuse('is no date');
  if (readAtMs > now + MAX_READING_AHEAD_MS) throw refuse('lies in the future');
  if (readAtMs < now - MAX_AGE_MS) throw refuse('is more than 400 days ago');
  const { meterId, value, zone = TOTAL_ZONE, source = 'api' } = request;
  const at = (ms: number): NewReading =>
    toNewReading({ namespace, meterId, zone, value, source, readAtMs: ms }, deps.readings.timeZone);
  return { reading: at(readAtMs), key: null, at, traceparent: traceparentOf(deps, req) };
}

/** All readings of a batch, or one problem with the mistakes of all. */
function toSentBatch(deps: ApiDeps, req: Request, res: Response, items: readonly unknown[]): SentReading[] {
  const errors: ProblemError[] = [];
  const sent: SentReading[] = [];
  for (const [index, item] of items.entries()) {
    const base = `/readings/${index}`;
    try {
      sent.push(toSent(deps, req, res, parseWith(readingRequest, item, base), base));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      errors.push(...(error.errors ?? []));
      if (errors.length >= MAX_MISTAKES) break;
    }
  }
  if (errors.length > 0) throw invalidInput(...errors.slice(0, MAX_MISTAKES));
  return sent;
}

async function takeOne(deps: ApiDeps, res: Response, sent: SentReading): Promise<void> {
  const taken = await deps.readings.intake.take(sent);
  if (taken.outcome === 'refused') throw invalidInput(toMistake(taken, ''));
  if (taken.outcome === 'conflict') {
    throw new Problem('IdempotencyConflict', 'This Idempotency-Key was used for another reading');
  }
  res.setHeader('Location', `/v1/meter-readings/${taken.id}`);
  if (taken.outcome === 'spooled') {
    const links = readingLinks({ ...sent.reading, id: taken.id });
    sendJson(res, 202, { id: taken.id, status: 'SPOOLED', links });
  } else if (taken.outcome === 'stored' && taken.id === sent.reading.id) {
    sendJson(res, 201, viewReading(receivedReading(sent.reading, deps.clock.now())));
  } else {
    // There already; or stored for the moment of the first request with this key.
    sendJson(
      res,
      taken.outcome === 'stored' ? 201 : 200,
      viewReading(await findReading(deps, res, taken.id)),
    );
  }
}

async function takeMany(deps: ApiDeps, res: Response, sent: readonly SentReading[]): Promise<void> {
  const taken = await deps.readings.intake.takeAll(sent);
  const errors = taken.flatMap((one, index) =>
    one.outcome === 'refused' ? [toMistake(one, `/readings/${index}`)] : [],
  );
  if (errors.length > 0) throw invalidInput(...errors.slice(0, MAX_MISTAKES));
  const readings = taken.flatMap((one) => ('id' in one ? [{ id: one.id, outcome: one.outcome }] : []));
  sendJson(res, readings.some(({ outcome }) => outcome === 'spooled') ? 202 : 201, { readings });
}

function toMistake(refused: Extract<StoredReading, { outcome: 'refused' }>, base: string): ProblemError {
  switch (refused.refusal) {
    case 'UnknownMeter':
      return { pointer: `${base}/meterId`, detail: 'there is no such meter' };
    case 'UnknownZone':
      return { pointer: `${base}/zone`, detail: `the meter has ${refused.zones.join(', ')}` };
    case 'TooManyDigits':
      return { pointer: `${base}/value`, detail: `the meter has ${refused.digits} digits` };
    default:
      return refused.refusal satisfies never;
  }
}

/** From the replica if there is one; what it does not have yet is looked up in the ledger itself. */
async function findReading(deps: ApiDeps, res: Response, id: string): Promise<MeterReading> {
  const { namespace } = principalOf(res);
  const find = async () =>
    (await deps.readings.query((db) => getReading(db, namespace, id))) ??
    (deps.readings.hasReplica ? await getReading(deps.db, namespace, id) : null);
  const reading = await withDeadline(find(), deps.limits.requestTimeoutMs);
  if (reading === null) throw new Problem('NotFound', 'There is no such reading');
  return reading;
}
