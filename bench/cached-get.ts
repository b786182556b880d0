/** `GET /v1/jobs/{id}` from the cache, against the same without Redis' help, and against a bare Express route, in one run. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { call, report, withStack } from './support.ts';

const SECONDS = Number(process.env.SECONDS ?? 10);

const BARE = `
const express = require('express');
const { parentPort } = require('node:worker_threads');
const body = { id: 'x'.repeat(36), text: 'y'.repeat(180) };
const app = express().disable('etag').get('/job', (_req, res) => res.json(body));
const server = app.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address()));
`;

async function wrk(url: string, key: string | null): Promise<{ rate: number; p99: string }> {
  const headers = key === null ? [] : ['-H', `Authorization: Bearer ${key}`];
  const { stdout } = await promisify(execFile)('wrk', [
    '-t1',
    '-c32',
    `-d${SECONDS}s`,
    '--latency',
    ...headers,
    url,
  ]);
  if (/Non-2xx/.test(stdout)) throw new Error(stdout);
  return {
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
    p99: /99%\s+(\S+)/.exec(stdout)?.[1] ?? '?',
  };
}

await withStack({ auth: 'keys' }, async (stack) => {
  const body = JSON.stringify({ type: 'contract-source', input: { address: `0x${'1'.padStart(40, '0')}` } });
  const { id } = await call<{ id: string }>(stack, '/v1/jobs', { method: 'POST', body });
  while ((await call<{ status: string }>(stack, `/v1/jobs/${id}`)).status !== 'SUCCESS') await sleep(50);
  const bare = new Worker(BARE, { eval: true });
  const [address] = (await once(bare, 'message')) as [AddressInfo];
  const url = `${stack.apiUrl}/v1/jobs/${id}`;
  await wrk(url, stack.apiKey);
  const cached = await wrk(url, stack.apiKey);
  const express = await wrk(`http://127.0.0.1:${address.port}/job`, null);
  const uncached = await wrk(`${stack.apiUrl}/v1/jobs?limit=1`, stack.apiKey);
  await bare.terminate();
  report('cached-get', {
    'GET /v1/jobs/{id} from the cache': `${cached.rate.toFixed(0)}/s, p99 ${cached.p99}`,
    'bare Express route of 250 bytes': `${express.rate.toFixed(0)}/s, p99 ${express.p99}`,
    'ratio to bare Express': (cached.rate / express.rate).toFixed(2),
    'a read of the ledger (page of one)': `${uncached.rate.toFixed(0)}/s, p99 ${uncached.p99}`,
    'cache against ledger': `${(cached.rate / uncached.rate).toFixed(1)} ×`,
  });
});
