import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import { type OwnedBlob, readBlob } from '../ledger/blobs.ts';
import type { Database } from '../ledger/database.ts';
import { Problem } from './problem.ts';

/** Media types that a client may be told; anything else is bytes. None of them runs in a browser. */
const SAFE_MEDIA_TYPE =
  /^(image\/(jpeg|png|webp|avif|gif|tiff)|text\/plain(; charset=utf-8)?|application\/(json|zip|pdf))$/;

/** Sends a blob, or the one range of it that was asked for, always as an attachment that nothing executes. */
export async function sendBlob(db: Database, req: Request, res: Response, blob: OwnedBlob): Promise<void> {
  if (!blob.stored) throw new Problem('ResultGone', 'The result is not kept any more');
  const etag = `"${blob.sha256}"`;
  setDownloadHeaders(res, blob.name, blob.mediaType);
  res.setHeader('ETag', etag);
  res.setHeader('Accept-Ranges', 'bytes');
  if (matchesTag(req.get('If-None-Match'), etag)) {
    res.status(304).end();
    return;
  }
  const ranged = req.get('If-Range') === undefined || req.get('If-Range') === etag;
  const range = ranged ? parseRange(req.get('Range'), blob.bytes) : null;
  const { start, end } = range ?? { start: 0, end: blob.bytes };
  if (range !== null) {
    res.status(206);
    res.setHeader('Content-Range', `bytes ${start}-${end - 1}/${blob.bytes}`);
  }
  res.setHeader('Content-Length', end - start);
  if (req.method === 'HEAD') res.end();
  else await pipeline(Readable.from(readBlob(db, blob.blobId, start, end), { objectMode: false }), res);
}

export function setDownloadHeaders(res: Response, name: string, mediaType: string): void {
  res.setHeader('Content-Type', SAFE_MEDIA_TYPE.test(mediaType) ? mediaType : 'application/octet-stream');
  res.setHeader('Content-Disposition', contentDisposition(name));
  res.setHeader('Content-Security-Policy', "default-src 'none'; sandbox");
  res.setHeader('Cache-Control', 'private, no-cache');
}

/** An attachment under this name (RFC 6266): an ASCII form for old clients, the name itself encoded (RFC 8187). */
export function contentDisposition(name: string): string {
  const plain = name.toWellFormed().replace(/[/\\]/g, '_');
  const ascii = plain.replace(/[^\x20-\x7e]|["%]/g, '_');
  const encoded = encodeURIComponent(plain).replace(
    /['()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return ascii === plain
    ? `attachment; filename="${ascii}"`
    : `attachment; filename="${ascii}"; filename*=UTF-8''${encoded}`;
}

/** Whether `If-None-Match` names this tag; weakly, as a GET compares. */
export function matchesTag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return (
    header === '*' ||
    header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag.replace(/^W\//, ''))
  );
}

/**
 * The one byte range of a `Range` header: start inclusive, end exclusive. Null when the header is to be ignored: another
 * unit, or several ranges. Throws a `RangeNotSatisfiable` problem when it lies outside.
 */
export function parseRange(header: string | undefined, bytes: number): { start: number; end: number } | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return null;
  const [, first, last] = match as unknown as [string, string, string];
  const start = first === '' ? Math.max(0, bytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? bytes : Math.min(bytes, Number(last) + 1);
  if (first !== '' && last !== '' && Number(last) < Number(first)) return null;
  if (start >= end) {
    throw new Problem('RangeNotSatisfiable', `The result has ${bytes} bytes`, {
      headers: { 'Content-Range': `bytes */${bytes}` },
    });
  }
  return { start, end };
}
