import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Request, type Response, Router } from 'express';
import {
  getReadingImport,
  ImportTakenOverError,
  listImportRefusals,
  MAX_KEPT_REFUSALS,
  type ReadingImport,
} from '../../ledger/reading-imports.ts';
import { CsvError } from '../csv-blocks.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { iso } from '../iso.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { releaseInFlight } from '../middleware/observe.ts';
import { invalidInput, Problem } from '../problem.ts';
import { exportMonth } from '../reading-export.ts';
import { importReadings } from '../reading-import.ts';
import { exportQuery, importName, importQuery } from '../reading-schemas.ts';
import { sendJson } from '../respond.ts';
import { noQuery } from '../schemas.ts';
import { parseQuery } from '../validation.ts';

/** Each holds a part of a file in memory, and a connection to the ledger. */
const MAX_IMPORTS = 2;

/** Files of readings, in both directions; neither is ever held whole. */
export function readingFileRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  let imports = 0;
  router.put('/v1/meter-reading-imports/:name', requireScope('submit'), async (req, res) => {
    if (imports >= MAX_IMPORTS) {
      const headers = { 'Retry-After': '30' };
      throw new Problem('TooManyRequests', 'Other files are being imported: send this one later', {
        headers,
      });
    }
    imports += 1;
    try {
      await runImport(deps, req, res);
    } finally {
      imports -= 1;
    }
  });
  router.get('/v1/meter-reading-imports/:name', requireScope('read'), async (req, res) => {
    parseQuery(noQuery, req.url);
    sendJson(res, 200, viewImport(await findImport(deps, req, res)));
  });
  router.get('/v1/meter-reading-imports/:name/refusals', requireScope('read'), async (req, res) => {
    parseQuery(noQuery, req.url);
    const file = await findImport(deps, req, res);
    const page = { afterLine: 0, limit: MAX_KEPT_REFUSALS };
    const refusals = await withDeadline(
      listImportRefusals(deps.db, file, page),
      deps.limits.requestTimeoutMs,
    );
    sendJson(res, 200, { refused: file.refused, refusals });
  });
  router.get('/v1/meter-readings\\:export', requireScope('read'), async (req, res) => {
    const { month } = parseQuery(exportQuery, req.url);
    const { namespace } = principalOf(res);
    releaseInFlight(res);
    res.setHeader('Content-Type', 'text/csv; charset=utf-8');
    res.setHeader('Content-Disposition', `attachment; filename="readings-${month}.csv"`);
    res.setHeader('Cache-Control', 'no-store');
    await pipeline(Readable.from(exportMonth(deps.readings.query, namespace, month)), res);
  });
  return router;
}

async function runImport(deps: ApiDeps, req: Request, res: Response): Promise<void> {
  const { offset = 0 } = parseQuery(importQuery, req.url);
  const { namespace } = principalOf(res);
  const name = importName.safeParse(req.params.name);
  if (!name.success)
    throw invalidInput({
      pointer: 'name',
      detail: 'must be a file name of letters, digits, ".", "_" and "-"',
    });
  if (!/^text\/csv *(; *charset="?utf-8"? *)?$/i.test(req.headers['content-type'] ?? ''))
    throw new Problem('UnsupportedMediaType', 'Send the file as text/csv in UTF-8');
  const resume = offset === 0 ? null : await getReadingImport(deps.db, namespace, name.data);
  if (offset > 0 && resume?.bytes !== offset) {
    throw invalidInput({
      pointer: '?offset',
      detail: resume === null ? 'this file was not begun' : `the file goes on at ${resume.bytes}`,
    });
  }
  releaseInFlight(res);
  try {
    const done = await importReadings({
      ...{ db: deps.db, namespace, name: name.data, resume },
      // A file that is refused half-way must not take the connection with it, over which its answer goes.
      content: req.iterator({ destroyOnReturn: false }),
      timeZone: deps.readings.timeZone,
      nowMs: deps.clock.now(),
    });
    sendJson(res, 200, viewImport(done));
  } catch (error) {
    // What the client still sends is read and dropped, so that it gets to read the answer.
    req.resume();
    if (error instanceof CsvError)
      throw invalidInput({ pointer: '', detail: `${error.code}: ${error.message}` });
    if (error instanceof ImportTakenOverError) throw new Problem('ImportTakenOver', error.message);
    throw error;
  }
}

async function findImport({ db, limits }: ApiDeps, req: Request, res: Response): Promise<ReadingImport> {
  const { namespace } = principalOf(res);
  const name = importName.safeParse(req.params.name);
  const found = name.success
    ? await withDeadline(getReadingImport(db, namespace, name.data), limits.requestTimeoutMs)
    : null;
  if (found === null) throw new Problem('NotFound', 'There is no such import');
  return found;
}

function viewImport(file: ReadingImport): Record<string, unknown> {
  const { namespace: _, columns: __, headSha256: ___, startedAtMs, updatedAtMs, ...rest } = file;
  const self = `/v1/meter-reading-imports/${file.name}`;
  return {
    ...rest,
    startedAt: iso(startedAtMs),
    updatedAt: iso(updatedAtMs),
    links: { self, refusals: `${self}/refusals` },
  };
}
