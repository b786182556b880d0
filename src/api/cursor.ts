import { hash } from 'node:crypto';
import { canonicalJson } from '../core/canonical-json.ts';
import { isUuid } from '../core/ids.ts';
import { Problem } from './problem.ts';

/** A page's end as opaque text, bound to the filter (and namespace) that it was made for. */
export function encodeCursor(beforeId: string, filter: unknown): string {
  return Buffer.from(`1.${beforeId}.${fingerprint(filter)}`).toString('base64url');
}

/** The id that the page continues below. Throws an `InvalidCursor` problem for one made up, old or of another filter. */
export function decodeCursor(cursor: string, filter: unknown): string {
  const [version, id = '', mark, ...rest] = Buffer.from(cursor, 'base64url').toString('latin1').split('.');
  if (
    version !== '1' ||
    rest.length > 0 ||
    !isUuid(id) ||
    mark !== fingerprint(filter) ||
    encodeCursor(id, filter) !== cursor
  ) {
    throw invalidCursor();
  }
  return id;
}

export function invalidCursor(): Problem {
  return new Problem('InvalidCursor', 'Use nextCursor of an answer to the same query, unchanged', {
    errors: [{ pointer: '?cursor', detail: 'is not a cursor of this query' }],
  });
}

function fingerprint(filter: unknown): string {
  return hash('sha256', canonicalJson(filter)).slice(0, 16);
}
