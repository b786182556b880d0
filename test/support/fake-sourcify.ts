import { parseArgs } from 'node:util';
import { checksumAddress } from '../../src/types/contract-source/address.ts';
import { generateContract, KNOWN_CONTRACTS } from './fake-contracts.ts';
import {
  type Answer,
  type FakeProvider,
  type FakeProviderOptions,
  startFakeProvider,
} from './fake-provider.ts';

const ROUTE = /^\/server\/v2\/contract\/([^/]+)\/([^/]+)$/;
const CHAINS = new Set(['1', '10', '56', '100', '137', '8453', '42161', '11155111']);

export interface FakeSourcifyOptions extends FakeProviderOptions {
  /** Addresses (lower case) that it does not know although the other stand-in does. */
  unknown?: readonly string[];
}

/** Sourcify's API v2, the look-up of one contract. */
export function startFakeSourcify(options: FakeSourcifyOptions = {}): Promise<FakeProvider> {
  return startFakeProvider(options, {
    path: '/server',
    parse(url) {
      const [, chainId, address] = ROUTE.exec(url.pathname) ?? [];
      return chainId === undefined || address === undefined
        ? null
        : { url, chainId, address: address.toLowerCase() };
    },
    answer: ({ url, address, chainId }) => answer(url.searchParams, address, chainId, options),
    limited: () => fail(429, 'too_many_requests', 'Too many requests'),
  });
}

function answer(
  query: URLSearchParams,
  address: string,
  chainId: string,
  options: FakeSourcifyOptions,
): Answer {
  if (!CHAINS.has(chainId))
    return fail(404, 'unsupported_chain', `The chain with chainId ${chainId} is not supported`);
  if (!/^0x[0-9a-f]{40}$/.test(address)) return fail(400, 'invalid_parameter', `Invalid address: ${address}`);
  const known = KNOWN_CONTRACTS.get(address) ?? (options.unlimited ? generateContract(address) : undefined);
  const minimal = { chainId, address: checksumAddress(address) };
  if (known === undefined || known.shape === 'unverified' || options.unknown?.includes(address)) {
    return { status: 404, body: { match: null, creationMatch: null, runtimeMatch: null, ...minimal } };
  }
  const [main = ''] = Object.keys(known.files);
  const fields = {
    sources: Object.fromEntries(Object.entries(known.files).map(([path, content]) => [path, { content }])),
    compilation: {
      language: 'Solidity',
      compiler: 'solc',
      compilerVersion: '0.8.24+commit.e11b9ed9',
      compilerSettings: { evmVersion: 'paris', optimizer: { enabled: true, runs: 200 } },
      name: known.name,
      fullyQualifiedName: `${main}:${known.name}`,
    },
    abi: [{ type: 'function', name: 'ships', inputs: [], outputs: [], stateMutability: 'view' }],
    proxyResolution: {
      isProxy: known.implementation !== undefined,
      proxyType: known.implementation === undefined ? null : 'EIP1967Proxy',
      implementations:
        known.implementation === undefined
          ? []
          : [{ address: checksumAddress(known.implementation), name: '' }],
    },
  };
  const wanted = new Set((query.get('fields') ?? '').split(','));
  const asked = Object.entries(fields).filter(([name]) => wanted.has(name));
  const match = { match: 'exact_match', creationMatch: 'exact_match', runtimeMatch: 'exact_match' };
  return { status: 200, body: { ...match, ...minimal, ...Object.fromEntries(asked) } };
}

function fail(status: number, customCode: string, message: string): Answer {
  return { status, body: { customCode, message, errorId: '00000000-0000-4000-8000-000000000000' } };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { port: { type: 'string', default: '0' }, unlimited: { type: 'boolean', default: false } },
  });
  const provider = await startFakeSourcify({ port: Number(values.port), unlimited: values.unlimited });
  process.stdout.write(`${provider.url}\n`);
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => void provider.close());
}
