/** `GET /v1/jobs/{id}` from the cache, against the same without Redis' help, and against a bare Express route, in one run. */
import { setTimeout as sleep } from 'node:timers/promises';
import { runWrk, runWrkOnBareExpress, type WrkFigures } from '../hack/wrk.ts';
import { call, ms, report, withStack } from './support.ts';

const SECONDS = Number(process.env.SECONDS ?? 10);

const show = ({ perSecond, p99Ms }: WrkFigures) => `${perSecond.toFixed(0)}/s, p99 ${ms(p99Ms)}`;

await withStack({ auth: 'keys' }, async (stack) => {
  const body = JSON.stringify({ type: 'contract-source', input: { address: `0x${'1'.padStart(40, '0')}` } });
  const { id } = await call<{ id: string }>(stack, '/v1/jobs', { method: 'POST', body });
  while ((await call<{ status: string }>(stack, `/v1/jobs/${id}`)).status !== 'SUCCESS') await sleep(50);
  const url = `${stack.apiUrl}/v1/jobs/${id}`;
  await runWrk(url, stack.apiKey, SECONDS);
  const cached = await runWrk(url, stack.apiKey, SECONDS);
  const express = await runWrkOnBareExpress(SECONDS);
  const uncached = await runWrk(`${stack.apiUrl}/v1/jobs?limit=1`, stack.apiKey, SECONDS);
  report('cached-get', {
    'GET /v1/jobs/{id} from the cache': show(cached),
    'bare Express route of 250 bytes': show(express),
    'ratio to bare Express': (cached.perSecond / express.perSecond).toFixed(2),
    'a read of the ledger (page of one)': show(uncached),
    'cache against ledger': `${(cached.perSecond / uncached.perSecond).toFixed(1)} ×`,
  });
});
