import { type Request, type Response, Router } from 'express';
import { ASSET } from '../../core/rates/rate.ts';
import {
  deleteTradeInfo,
  getTradeInfo,
  listTradeInfo,
  putTradeInfo,
  type TradeInfoState,
  type TradeKey,
} from '../../ledger/trade-info.ts';
import { loadProvider, PROVIDER_NAMES } from '../../types/exchange-rate/provider-folder.ts';
import { invalidCursor } from '../cursor.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { iso } from '../iso.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { invalidInput, Problem } from '../problem.ts';
import { tradeInfoListQuery, tradeInfoRequest } from '../rate-schemas.ts';
import { readJson } from '../read-body.ts';
import { sendJson } from '../respond.ts';
import { DEFAULT_PAGE_LIMIT } from '../schemas.ts';
import { parseQuery, parseWith } from '../validation.ts';
import { readPair } from './rates.ts';

/** What is tracked. The controller sees a change within seconds. */
export function tradeInfoRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const timeoutMs = deps.limits.requestTimeoutMs;
  router.get('/v1/trade-info', requireScope('read'), async (req, res) => {
    const { limit = DEFAULT_PAGE_LIMIT, cursor } = parseQuery(tradeInfoListQuery, req.url);
    const after = cursor === undefined ? null : decodeKey(cursor);
    const page = listTradeInfo(deps.db, principalOf(res).namespace, { limit: limit + 1, after });
    const found = await withDeadline(page, timeoutMs);
    const shown = found.slice(0, limit);
    const last = found.length > limit ? shown.at(-1) : undefined;
    sendJson(res, 200, {
      tradeInfo: shown.map(viewTradeInfo),
      nextCursor: last === undefined ? null : encodeKey(last),
    });
  });
  router.get('/v1/trade-info/:provider/:pair', requireScope('read'), async (req, res) => {
    const found = await withDeadline(getTradeInfo(deps.db, readKey(req, res)), timeoutMs);
    if (found === null) throw notTracked();
    sendJson(res, 200, viewTradeInfo(found));
  });
  router.put('/v1/trade-info/:provider/:pair', requireScope('submit'), async (req, res) => {
    const { jsonBytes, bodyTimeoutMs } = deps.limits;
    const key = readKey(req, res);
    const body = await readJson(req, { maxBytes: jsonBytes, timeoutMs: bodyTimeoutMs });
    const info = { ...key, ...parseWith(tradeInfoRequest, body) };
    await requireSymbol(info);
    const outcome = await withDeadline(putTradeInfo(deps.db, info), timeoutMs);
    const put = await withDeadline(getTradeInfo(deps.db, key), timeoutMs);
    if (put === null) throw notTracked();
    res.setHeader('Location', `/v1/trade-info/${key.provider}/${key.base}-${key.quote}`);
    sendJson(res, outcome === 'created' ? 201 : 200, viewTradeInfo(put));
  });
  router.delete('/v1/trade-info/:provider/:pair', requireScope('submit'), async (req, res) => {
    const deleted = await withDeadline(deleteTradeInfo(deps.db, readKey(req, res)), timeoutMs);
    if (!deleted) throw notTracked();
    res.status(204).end();
  });
  return router;
}

/** A row that a provider would never understand is refused when it is written. */
async function requireSymbol(info: TradeKey & { providerSymbol: string | null }): Promise<void> {
  const provider = await loadProvider(info.provider);
  if (provider === null) {
    const detail = `is no provider; there are ${PROVIDER_NAMES.join(', ')}`;
    throw invalidInput({ pointer: 'provider', detail });
  }
  if (info.providerSymbol === null && provider.symbolOf(info.base, info.quote) === null) {
    const detail = `is needed: what ${provider.title} calls ${info.base}`;
    throw invalidInput({ pointer: '/providerSymbol', detail });
  }
}

/** A provider that is not known may be named: a row that was made by hand can be read and removed. */
function readKey(req: Request, res: Response): TradeKey {
  const provider = String(req.params.provider);
  if (!/^[a-z]([-a-z0-9]{0,29}[a-z0-9])?$/.test(provider)) throw notTracked();
  return { namespace: principalOf(res).namespace, provider, ...readPair(req) };
}

export function viewTradeInfo(info: TradeInfoState): Record<string, unknown> {
  const { namespace: _, atMs, error, ...rest } = info;
  return {
    ...rest,
    at: iso(atMs),
    error: PROVIDER_NAMES.includes(info.provider) ? error : 'ProviderUnknown',
  };
}

function encodeKey({ provider, base, quote }: TradeKey): string {
  return Buffer.from(`t.${provider}.${base}.${quote}`).toString('base64url');
}

function decodeKey(cursor: string): Omit<TradeKey, 'namespace'> {
  const [mark, provider, base, quote, ...rest] = Buffer.from(cursor, 'base64url')
    .toString('latin1')
    .split('.');
  if (mark === 't' && rest.length === 0 && provider && ASSET.test(base ?? '') && ASSET.test(quote ?? ''))
    return { provider, base: base as string, quote: quote as string };
  throw invalidCursor();
}

function notTracked(): Problem {
  return new Problem('NotFound', 'This pair is not tracked at this provider');
}
