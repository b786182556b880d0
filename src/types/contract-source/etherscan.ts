import { z } from 'zod';
import { RetryableError, sanitizeText, TerminalError } from '../../core/errors.ts';
import type { HandlerContext } from '../../core/handler.ts';
import { callUpstream, invalidAnswer, rateLimited } from '../upstream.ts';
import type { LoadedContract } from './loaded-contract.ts';
import type { SourceFile } from './source-files.ts';
import type { Contract } from './type.ts';

export interface EtherscanSettings {
  /** Defaults to `https://api.etherscan.io/v2/api`. */
  baseUrl: string;
  /** Without a key Etherscan is not asked. */
  apiKey: string | undefined;
  /** Calls a second over all workers; defaults to 3, the free tier. 0 is no limit. */
  perSecond: number;
  /** Calls a day over all workers; defaults to 100,000, the free tier. 0 is no limit. */
  perDay: number;
}

const PROVIDER = 'Etherscan';
const NOT_VERIFIED = 'Contract source code not verified';

const refusal = z.object({ status: z.literal('0'), message: z.string(), result: z.unknown() });

const record = z.object({
  SourceCode: z.string(),
  ABI: z.string(),
  ContractName: z.string(),
  CompilerVersion: z.string(),
  OptimizationUsed: z.string().default(''),
  Runs: z.string().default(''),
  ConstructorArguments: z.string().default(''),
  EVMVersion: z.string().default(''),
  ContractFileName: z.string().default(''),
  LicenseType: z.string().default(''),
  Proxy: z.string().default('0'),
  Implementation: z.string().default(''),
});
type SourceRecord = z.output<typeof record>;

const success = z.object({ status: z.literal('1'), result: z.array(record).min(1) });

/** Files by path, in `{content}` objects: the multi-file shape and the `sources` of the standard JSON. */
const fileMap = z.record(z.string(), z.object({ content: z.string() }));

const standardJson = z.object({ language: z.string().optional(), sources: fileMap });

/**
 * Asks Etherscan's API v2 (`getsourcecode`) for a verified contract.
 *
 * @throws TerminalError `ContractNotVerified`, `ChainUnsupported`, `ProviderKeyInvalid`, `UpstreamRefused`,
 *   `SourceMalformed`; RetryableError `UpstreamRateLimited` and those of {@link callUpstream}.
 */
export async function loadFromEtherscan(
  context: HandlerContext,
  settings: EtherscanSettings & { timeoutMs: number; maxBytes: number },
  contract: { chainId: number; address: string },
): Promise<LoadedContract> {
  const url = new URL(settings.baseUrl);
  url.searchParams.set('chainid', String(contract.chainId));
  url.searchParams.set('module', 'contract');
  url.searchParams.set('action', 'getsourcecode');
  url.searchParams.set('address', contract.address);
  url.searchParams.set('apikey', settings.apiKey ?? '');
  const { perSecond, perDay, timeoutMs, maxBytes } = settings;
  const budget = { name: 'etherscan', perSecond, perDay };
  const call = { provider: PROVIDER, url, budget, timeoutMs, maxBytes };
  const { json } = await callUpstream(context, call);

  const refused = refusal.safeParse(json);
  if (refused.success) {
    const text = sentenceOf(refused.data);
    const pauseMs = pauseAfter(text);
    if (pauseMs !== null) throw await rateLimited(context, call, pauseMs);
    throw explainRefusal(text, settings.apiKey);
  }
  const answer = success.safeParse(json).data?.result[0];
  if (answer === undefined) throw invalidAnswer(PROVIDER, 'a JSON answer of unknown shape');
  if (answer.SourceCode === '') {
    throw new TerminalError('ContractNotVerified', 'Etherscan has no verified source of this contract');
  }
  return toContract(answer);
}

/** Etherscan refuses with status 200 and a sentence; there is no code to go by. */
function sentenceOf({ result, message }: z.output<typeof refusal>): string {
  return typeof result === 'string' ? result : message;
}

/** How long the calls have to pause after a refusal for their number; null after any other refusal. */
function pauseAfter(text: string): number | null {
  if (/daily|per day|day\/limit/i.test(text)) return 3_600_000;
  return /rate limit/i.test(text) ? 1_000 : null;
}

function explainRefusal(text: string, apiKey: string | undefined): Error {
  if (/timeout|too busy|try again/i.test(text)) {
    return new RetryableError('UpstreamUnavailable', 'Etherscan is too busy');
  }
  if (/not verified/i.test(text)) {
    return new TerminalError('ContractNotVerified', 'Etherscan has no verified source of this contract');
  }
  if (/api key/i.test(text)) return new TerminalError('ProviderKeyInvalid', 'Etherscan refused its API key');
  if (/chainid|this chain/i.test(text)) {
    return new TerminalError(
      'ChainUnsupported',
      'Etherscan does not serve this chain with the given API key',
    );
  }
  const shown = apiKey ? text.replaceAll(apiKey, '***') : text;
  return new TerminalError('UpstreamRefused', `Etherscan refused the call: ${sanitizeText(shown, 200)}`);
}

function toContract(answer: SourceRecord): LoadedContract {
  const { files, language } = parseSourceCode(answer);
  const runs = /^\d{1,15}$/.test(answer.Runs) ? Number(answer.Runs) : null;
  return {
    name: answer.ContractName,
    source: 'etherscan',
    language: language ?? guessLanguage(answer.CompilerVersion, files),
    compiler: answer.CompilerVersion,
    license: known(answer.LicenseType, ['none', 'unknown']),
    optimisation: { enabled: answer.OptimizationUsed === '1', runs },
    evmVersion: known(answer.EVMVersion, ['default']),
    constructorArguments: known(answer.ConstructorArguments, [])?.replace(/^0x/, '') ?? null,
    abi: parseAbi(answer.ABI),
    files,
    isProxy: answer.Proxy === '1',
    implementation: known(answer.Implementation, []),
  };
}

function known(text: string, nothing: readonly string[]): string | null {
  return text === '' || nothing.includes(text.toLowerCase()) ? null : text;
}

function parseAbi(text: string): unknown[] | null {
  if (text === '' || text === NOT_VERIFIED) return null;
  const abi = parseJson(text);
  return Array.isArray(abi) ? abi : null;
}

/**
 * The three shapes of `SourceCode`: one file as it is, `{"A.sol": {"content": …}}`, and a compiler's standard JSON
 * input within a second pair of braces.
 *
 * @throws TerminalError `SourceMalformed` when it looks like one of the JSON shapes and cannot be read as one.
 */
export function parseSourceCode(
  answer: Pick<SourceRecord, 'SourceCode' | 'ContractName' | 'ContractFileName' | 'CompilerVersion'>,
): { files: SourceFile[]; language: Contract['language'] | undefined } {
  const text = answer.SourceCode.trim();
  if (text.startsWith('{{') && text.endsWith('}}')) return parseStandardJson(parseJson(text.slice(1, -1)));
  if (text.startsWith('{')) {
    const json = parseJson(text);
    const map = fileMap.safeParse(json);
    return map.success ? { files: toFiles(map.data), language: undefined } : parseStandardJson(json);
  }
  const extension = /vyper/i.test(answer.CompilerVersion) ? '.vy' : '.sol';
  const path = answer.ContractFileName || `${answer.ContractName || 'Contract'}${extension}`;
  return { files: [{ path, content: answer.SourceCode }], language: undefined };
}

function parseStandardJson(json: unknown): ReturnType<typeof parseSourceCode> {
  const parsed = standardJson.safeParse(json);
  if (!parsed.success) {
    throw new TerminalError('SourceMalformed', 'Etherscan holds this source in a form that cannot be read');
  }
  const { language, sources } = parsed.data;
  return { files: toFiles(sources), language: language === undefined ? undefined : toLanguage(language) };
}

function toFiles(map: z.output<typeof fileMap>): SourceFile[] {
  return Object.entries(map).map(([path, { content }]) => ({ path, content }));
}

/** Any compiler's word for its language as one of ours. */
export function toLanguage(text: string): Contract['language'] {
  return (
    (['Solidity', 'Vyper', 'Yul'] as const).find((name) => name.toLowerCase() === text.toLowerCase()) ??
    'unknown'
  );
}

function guessLanguage(compiler: string, files: SourceFile[]): Contract['language'] {
  if (/vyper/i.test(compiler) || files.some(({ path }) => path.endsWith('.vy'))) return 'Vyper';
  return /^v\d/.test(compiler) ? 'Solidity' : 'unknown';
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
