import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import express, { Router } from 'express';
import { createOpenApi } from '../openapi.ts';
import { OPERATIONS } from '../operations.ts';
import { sendJsonText } from '../respond.ts';

const PUBLIC = fileURLToPath(new URL('../public', import.meta.url));

/** The upload page's policy: its own files, and previews of what is dropped on it. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ccc;vertical-align:top}code{font-size:.9em;overflow-wrap:anywhere}';

/** What needs no key: the OpenAPI document, the reference page, and the files of the upload page. */
export function pageRoutes(version: string): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const openApi = JSON.stringify(createOpenApi(version));
  const docs = renderDocs();
  const hash = createHash('sha256').update(STYLE).digest('base64');
  router.get('/openapi.json', (_req, res) => sendJsonText(res, 200, openApi));
  router.get('/docs', (_req, res) => {
    res.setHeader(
      'Content-Security-Policy',
      `default-src 'none'; style-src 'sha256-${hash}'; frame-ancestors 'none'`,
    );
    res.type('html').send(docs);
  });
  router.use(
    express.static(PUBLIC, {
      etag: true,
      redirect: false,
      setHeaders: (res) => {
        res.setHeader('Content-Security-Policy', PAGE_POLICY);
        res.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
        res.setHeader('Cache-Control', 'no-cache');
      },
    }),
  );
  return router;
}

function renderDocs(): string {
  const rows = OPERATIONS.map(
    ({ method, path, summary, scope, answers, problems }) =>
      `<tr><td><code>${method.toUpperCase()}</code></td><td><code>${path}</code></td><td>${summary}</td><td>${scope ?? '–'}</td><td>${[...Object.keys(answers), ...problems].join(', ')}</td></tr>`,
  ).join('\n');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Longshore API</title>
<style>${STYLE}</style></head>
<body><h1>Longshore API</h1>
<p>Send <code>Authorization: Bearer lsk_…</code>. Mistakes are answered as <code>application/problem+json</code>. The schemas are in <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>
<table><thead><tr><th>Method</th><th>Path</th><th>What it does</th><th>Scope</th><th>Answers</th></tr></thead><tbody>
${rows}
</tbody></table></body></html>
`;
}
