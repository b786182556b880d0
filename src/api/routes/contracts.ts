import { type Request, type Response, Router } from 'express';
import type { Job } from '../../core/job.ts';
import { getJob } from '../../ledger/jobs.ts';
import { findKeyedJobId } from '../../ledger/unique-keys.ts';
import { checksumAddress, contractKey } from '../../types/contract-source/address.ts';
import {
  type ContractSourceInput,
  type ContractSourceResult,
  contractSourceType,
} from '../../types/contract-source/type.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { viewJob } from '../job-view.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { Problem } from '../problem.ts';
import { readJson } from '../read-body.ts';
import { sendJson } from '../respond.ts';
import { sendSourceZip } from '../source-zip.ts';
import { toNewJob } from '../submission.ts';
import { parseWith } from '../validation.ts';
import { requireSuccess } from './job-result.ts';
import { acceptAndAnswer, submissionContext } from './jobs.ts';

/** A little longer than the ledger keeps jobs: a key never ends before its job does. */
const CONTRACT_TTL_SECONDS = 31 * 24 * 3_600;

/** Contracts: submitted once for each chain and address, whoever asks how often. */
export function contractRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.post('/v1/contracts', requireScope('submit'), async (req, res) => {
    const body = await readJson(req, {
      maxBytes: deps.limits.jsonBytes,
      timeoutMs: deps.limits.bodyTimeoutMs,
    });
    const input = parseWith(contractSourceType.input, body) as ContractSourceInput;
    const key = contractKey(input.chainId, input.address);
    const request = { type: contractSourceType.name, input };
    const uniqueKey = { scope: 'contract', key, bodySha256: key, ttlSeconds: CONTRACT_TTL_SECONDS } as const;
    const job = await toNewJob(request, submissionContext(deps, req, res), { uniqueKey });
    await acceptAndAnswer(deps, res, job);
  });
  router.get('/v1/contracts/:chainId/:address', requireScope('read'), async (req, res) => {
    const { job, input } = await findContract(deps, req, res);
    sendJson(res, 200, {
      chainId: input.chainId,
      address: checksumAddress(input.address),
      status: job.status,
      error: job.error,
      job: viewJob(job),
      links: { source: job.status === 'SUCCESS' ? `${req.path}/source` : null, job: `/v1/jobs/${job.id}` },
    });
  });
  router.get('/v1/contracts/:chainId/:address/source', requireScope('read'), async (req, res) => {
    const { job } = await findContract(deps, req, res);
    requireSuccess(job);
    res.setHeader('Vary', 'Accept');
    const source = job.result as ContractSourceResult;
    const form = req.accepts(['application/json', 'application/zip']);
    if (form === 'application/zip') await sendSourceZip(deps.db, res, job, source);
    else if (form !== false) sendJson(res, 200, source);
    else throw new Problem('NotAcceptable', 'The source is application/json or application/zip');
  });
  return router;
}

async function findContract(
  deps: ApiDeps,
  req: Request,
  res: Response,
): Promise<{ job: Job; input: ContractSourceInput }> {
  const { chainId, address } = req.params;
  const asked = { chainId: /^\d{1,16}$/.test(String(chainId)) ? Number(chainId) : chainId, address };
  const input = parseWith(contractSourceType.input, asked) as ContractSourceInput;
  const { namespace } = principalOf(res);
  const timeoutMs = deps.limits.requestTimeoutMs;
  const key = contractKey(input.chainId, input.address);
  const id = await withDeadline(findKeyedJobId(deps.db, namespace, 'contract', key), timeoutMs);
  const job = id === null ? null : await withDeadline(getJob(deps.db, namespace, id), timeoutMs);
  if (job === null) throw new Problem('NotFound', 'This contract was not asked for yet');
  return { job, input };
}
