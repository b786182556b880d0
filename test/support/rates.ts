import { uuidv7 } from '../../src/core/ids.ts';
import { acceptJobs } from '../../src/ledger/accept.ts';
import { admitJobs } from '../../src/ledger/admission.ts';
import { putTradeInfo, type TradeInfo } from '../../src/ledger/trade-info.ts';
import type { WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { createRound, type Round } from '../../src/types/exchange-rate/round.ts';
import { newJob, type TestLedger } from './ledger.ts';

/** Tracks `provider BASE-QUOTE`, with what the test says instead of the usual. */
export async function track(
  ledger: TestLedger,
  text: string,
  overrides: Partial<TradeInfo> = {},
): Promise<void> {
  const [provider = '', pair = ''] = text.split(' ');
  const [base = '', quote = ''] = pair.split('-');
  const info = { namespace: 'default', provider, base, quote, providerSymbol: null };
  await putTradeInfo(ledger.db, { ...info, intervalSeconds: 10, enabled: true, ...overrides });
}

/** A round whose job a worker has claimed. */
export interface ClaimedRound extends Round {
  id: string;
  lease: number;
}

/** Makes the job of a round, accepted so many seconds from now, and claims it. */
export async function claimRound(
  ledger: TestLedger,
  provider: string,
  { offsetSeconds = 0, worker = ledger.worker() }: { offsetSeconds?: number; worker?: WorkerLedger } = {},
): Promise<ClaimedRound> {
  const job = newJob({ id: uuidv7(), type: 'exchange-rate', input: { provider } });
  await acceptJobs(ledger.db, [job]);
  await ledger.db.query(
    'update jobs set accepted_at = now() + make_interval(secs => $2), run_at = now() where id = $1',
    [job.id, offsetSeconds],
  );
  await admitJobs(ledger.db, [{ namespace: 'default', type: 'exchange-rate', count: 100 }], {
    dispatch: true,
  });
  const [claimed] = await worker.claim([{ id: job.id, lease: 0 }]);
  if (claimed === undefined || 'refused' in claimed)
    throw new Error(`The round was refused: ${JSON.stringify(claimed)}`);
  return roundUnder(worker, { id: job.id, lease: claimed.lease });
}

/** The round as its handler has it, when this worker carries it out under this lease. */
export function roundUnder(worker: WorkerLedger, job: { id: string; lease: number }): ClaimedRound {
  return { ...job, ...createRound({ procedure: (name, payload) => worker.call(name, job, payload) }) };
}
