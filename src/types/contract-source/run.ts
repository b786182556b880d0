import { TerminalError } from '../../core/errors.ts';
import { defineHandler, type HandlerContext, type Registration } from '../../core/handler.ts';
import { checksumAddress, isAddress } from './address.ts';
import { type EtherscanSettings, loadFromEtherscan } from './etherscan.ts';
import type { LoadedContract } from './loaded-contract.ts';
import { loadFromSourcify, type SourcifySettings } from './sourcify.ts';
import { storeResult } from './store-result.ts';
import { type ContractSourceInput, type ContractSourceResult, contractSourceType } from './type.ts';

export type ContractProvider = 'etherscan' | 'sourcify';

export interface ContractSourceSettings {
  etherscan?: Partial<EtherscanSettings>;
  sourcify?: Partial<SourcifySettings>;
  /** Who is asked, in turn. Defaults to Etherscan, then Sourcify; Etherscan is left out without an API key. */
  order?: readonly ContractProvider[];
  /** For one call. Defaults to 15,000. */
  timeoutMs?: number;
  /** The largest answer that is read. Defaults to 20 MiB. */
  maxAnswerBytes?: number;
}

interface Contracts {
  chainId: number;
  address: string;
}

type Load = (context: HandlerContext, contract: Contracts) => Promise<LoadedContract>;

/**
 * The handler of `contract-source`. The next provider is asked when one answers for good that it has nothing; one that
 * is down or over its limit is tried again later, so that the same contract gives the same result. Running it twice is
 * safe: it only reads.
 */
export function createContractSourceHandler(settings: ContractSourceSettings = {}): Registration {
  const providers = createProviders(settings);
  return defineHandler(contractSourceType, (context) => run(context, providers));
}

function createProviders(settings: ContractSourceSettings): Load[] {
  const call = {
    timeoutMs: settings.timeoutMs ?? 15_000,
    maxBytes: settings.maxAnswerBytes ?? 20 * 1024 * 1024,
  };
  const etherscan = {
    baseUrl: 'https://api.etherscan.io/v2/api',
    apiKey: undefined,
    perSecond: 3,
    perDay: 100_000,
    ...settings.etherscan,
    ...call,
  };
  const sourcify = {
    baseUrl: 'https://sourcify.dev/server',
    perSecond: 5,
    perDay: 0,
    ...settings.sourcify,
    ...call,
  };
  const load: Record<ContractProvider, Load> = {
    etherscan: (context, contract) => loadFromEtherscan(context, etherscan, contract),
    sourcify: (context, contract) => loadFromSourcify(context, sourcify, contract),
  };
  const order = settings.order ?? (['etherscan', 'sourcify'] as const);
  return order.filter((name) => name !== 'etherscan' || Boolean(etherscan.apiKey)).map((name) => load[name]);
}

async function run(
  context: HandlerContext<ContractSourceInput>,
  providers: Load[],
): Promise<ContractSourceResult> {
  const { chainId, address } = context.input;
  context.progress(0.1, 'Asking');
  const contract = await loadFromAny(context, providers, { chainId, address });
  context.progress(0.5, 'Loaded');
  const implementation = await loadImplementation(context, providers, contract);
  context.signal.throwIfAborted();
  context.progress(0.8, 'Storing');
  return storeResult(context, { chainId, address: checksumAddress(address), contract, implementation });
}

/** Asks the providers in turn; the first that knows more than "not verified" names the error when none has the source. */
async function loadFromAny(
  context: HandlerContext,
  providers: Load[],
  contract: Contracts,
): Promise<LoadedContract> {
  const refusals: TerminalError[] = [];
  for (const load of providers) {
    context.signal.throwIfAborted();
    try {
      return await load(context, contract);
    } catch (error) {
      if (!(error instanceof TerminalError)) throw error;
      refusals.push(error);
    }
  }
  const telling = refusals.find(({ code }) => code !== 'ContractNotVerified') ?? refusals[0];
  throw telling ?? new TerminalError('NoProvider', 'No provider of contract sources is configured');
}

interface LoadedImplementation {
  address: string;
  contract: LoadedContract | null;
  reason: string | null;
}

/** One level only: what an implementation points at in turn is not followed. */
async function loadImplementation(
  context: HandlerContext<ContractSourceInput>,
  providers: Load[],
  { isProxy, implementation }: LoadedContract,
): Promise<LoadedImplementation | null> {
  if (!isProxy || implementation === null || !isAddress(implementation)) return null;
  const address = implementation.toLowerCase();
  const shown = checksumAddress(address);
  if (address === context.input.address) return { address: shown, contract: null, reason: 'SelfReference' };
  try {
    const contract = await loadFromAny(context, providers, { chainId: context.input.chainId, address });
    return { address: shown, contract, reason: null };
  } catch (error) {
    // The proxy's own source is worth having without it; only what may pass is waited for.
    if (!(error instanceof TerminalError)) throw error;
    return { address: shown, contract: null, reason: error.code };
  }
}
