import { parseArgs } from 'node:util';
import { type FakeContract, generateContract, KNOWN_CONTRACTS } from './fake-contracts.ts';
import {
  type Answer,
  type FakeProvider,
  type FakeProviderOptions,
  startFakeProvider,
} from './fake-provider.ts';

export interface FakeEtherscanOptions extends FakeProviderOptions {
  /** The only key that is accepted; any but an empty one when absent. */
  apiKey?: string;
}

const CHAINS = new Set(['1', '10', '56', '137', '8453', '42161', '11155111']);
const NOT_VERIFIED = 'Contract source code not verified';

/** Etherscan's API v2, `getsourcecode` alone, in its true shapes: refusals come with status 200 and a sentence. */
export function startFakeEtherscan(options: FakeEtherscanOptions = {}): Promise<FakeProvider> {
  return startFakeProvider(options, {
    path: '/v2/api',
    parse(url) {
      if (url.pathname !== '/v2/api') return null;
      const { searchParams } = url;
      return {
        url,
        address: (searchParams.get('address') ?? '').toLowerCase(),
        chainId: searchParams.get('chainid') ?? '',
      };
    },
    answer: ({ url, address, chainId }) => answer(url.searchParams, address, chainId, options),
    limited: () => refuse('Max calls per sec rate limit reached (3/sec)'),
  });
}

function answer(
  query: URLSearchParams,
  address: string,
  chainId: string,
  options: FakeEtherscanOptions,
): Answer {
  if (!CHAINS.has(chainId)) {
    return refuse(
      'Missing or unsupported chainid parameter (required for v2 api), please see https://api.etherscan.io/v2/chainlist for the list of supported chainids',
    );
  }
  const key = query.get('apikey') ?? '';
  if (key === '') return refuse('Missing/Invalid API Key');
  if (options.apiKey !== undefined && key !== options.apiKey) return refuse('Invalid API Key');
  if (query.get('module') !== 'contract' || query.get('action') !== 'getsourcecode') {
    return refuse('Error! Missing Or invalid Action name');
  }
  if (!/^0x[0-9a-f]{40}$/.test(address)) return refuse('Invalid Address format');
  const known = KNOWN_CONTRACTS.get(address) ?? (options.unlimited ? generateContract(address) : undefined);
  return { status: 200, body: { status: '1', message: 'OK', result: [toRecord(known)] } };
}

function refuse(sentence: string): Answer {
  return { status: 200, body: { status: '0', message: 'NOTOK', result: sentence } };
}

function toRecord(contract: FakeContract | undefined): Record<string, string> {
  const verified = contract !== undefined && contract.shape !== 'unverified';
  return {
    SourceCode: verified ? toSourceCode(contract) : '',
    ABI: verified
      ? '[{"type":"function","name":"ships","inputs":[],"outputs":[{"name":"","type":"uint256"}],"stateMutability":"view"}]'
      : NOT_VERIFIED,
    ContractName: verified ? contract.name : '',
    CompilerVersion: verified ? 'v0.8.24+commit.e11b9ed9' : '',
    CompilerType: verified ? 'solc' : '',
    OptimizationUsed: verified ? '1' : '',
    Runs: verified ? '200' : '',
    ConstructorArguments: '',
    EVMVersion: 'Default',
    Library: '',
    ContractFileName: '',
    LicenseType: verified ? 'MIT' : 'Unknown',
    Proxy: contract?.implementation === undefined ? '0' : '1',
    Implementation: contract?.implementation ?? '',
    SwarmSource: '',
    SimilarMatch: '',
  };
}

function toSourceCode({ shape, files }: FakeContract): string {
  const sources = Object.fromEntries(Object.entries(files).map(([path, content]) => [path, { content }]));
  if (shape === 'multi') return JSON.stringify(sources);
  if (shape === 'standard') {
    const settings = { optimizer: { enabled: true, runs: 200 }, outputSelection: {} };
    return `{${JSON.stringify({ language: 'Solidity', sources, settings })}}`;
  }
  return Object.values(files)[0] ?? '';
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '0' },
      unlimited: { type: 'boolean', default: false },
      'per-second': { type: 'string', default: '0' },
    },
  });
  const provider = await startFakeEtherscan({
    host: values.host,
    port: Number(values.port),
    unlimited: values.unlimited,
    perSecond: Number(values['per-second']),
  });
  process.stdout.write(`${provider.url}\n`);
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => void provider.close());
}
