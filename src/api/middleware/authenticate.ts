import type { NextFunction, Request, RequestHandler, Response } from 'express';
import type { ApiKeyScope } from '../../ledger/api-keys.ts';
import { Authenticator, type Principal } from '../authenticator.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { Problem } from '../problem.ts';

/** Finds out who asks, and takes a token of their rate. Everything behind it has a principal. */
export function authenticate(deps: Pick<ApiDeps, 'auth'>): RequestHandler {
  const { auth } = deps;
  if (!(auth instanceof Authenticator)) return (_req, res, next) => admit(auth, res, next);
  return (req, res, next) => {
    const token = bearerToken(req);
    const principal = token === null ? null : auth.authenticate(token);
    if (!(principal instanceof Promise)) return admit(principal, res, next);
    principal.then((found) => admit(found, res, next)).catch(next);
  };
}

/** The token of the one `Authorization` header; null when there is none, another scheme, or two of them. */
function bearerToken(req: Request): string | null {
  const header = req.headers.authorization;
  if (header === undefined) return null;
  let count = 0;
  for (let at = 0; at < req.rawHeaders.length; at += 2) {
    const name = req.rawHeaders[at] as string;
    if (name.length === 13 && name.toLowerCase() === 'authorization') count += 1;
  }
  const match = /^Bearer +(\S{1,200})$/i.exec(header);
  return count !== 1 || match === null ? null : (match[1] as string);
}

function admit(principal: Principal | null, res: Response, next: NextFunction): void {
  if (principal === null) {
    next(
      new Problem('Unauthenticated', 'Send "Authorization: Bearer lsk_…" with a key that is valid', {
        headers: { 'WWW-Authenticate': 'Bearer realm="longshore"' },
      }),
    );
    return;
  }
  const waitMs = principal.bucket.take();
  if (waitMs > 0) {
    next(
      new Problem('TooManyRequests', 'This API key sends requests faster than it may', {
        headers: { 'Retry-After': String(Math.ceil(waitMs / 1_000)) },
      }),
    );
    return;
  }
  res.locals.principal = principal;
  next();
}

/** Lets a request through when its key has the scope; `admin` has every one. */
export function requireScope(scope: ApiKeyScope): RequestHandler {
  return (_req, res, next) => {
    const { scopes } = principalOf(res);
    if (scopes.has(scope) || scopes.has('admin')) next();
    else next(new Problem('Forbidden', `This needs an API key with the scope "${scope}"`));
  };
}
