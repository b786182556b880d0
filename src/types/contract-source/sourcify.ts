import { z } from 'zod';
import { TerminalError } from '../../core/errors.ts';
import type { HandlerContext } from '../../core/handler.ts';
import { callUpstream, invalidAnswer } from '../upstream.ts';
import { toLanguage } from './etherscan.ts';
import type { LoadedContract } from './loaded-contract.ts';

export interface SourcifySettings {
  /** Defaults to `https://sourcify.dev/server`. */
  baseUrl: string;
  /** Calls a second over all workers; defaults to 5. 0 is no limit. */
  perSecond: number;
  /** Calls a day over all workers; defaults to 0, no limit. */
  perDay: number;
}

const PROVIDER = 'Sourcify';
const FIELDS = 'sources,compilation,abi,proxyResolution';

const answerSchema = z.object({
  sources: z.record(z.string(), z.object({ content: z.string() })),
  compilation: z.object({
    language: z.string(),
    compilerVersion: z.string(),
    name: z.string(),
    fullyQualifiedName: z.string().optional(),
    compilerSettings: z
      .object({
        evmVersion: z.string().nullish(),
        optimizer: z.object({ enabled: z.boolean().optional(), runs: z.int().optional() }).nullish(),
      })
      .nullish(),
  }),
  abi: z.array(z.unknown()).nullish(),
  proxyResolution: z
    .object({
      isProxy: z.boolean().optional(),
      implementations: z.array(z.object({ address: z.string() })).optional(),
    })
    .nullish(),
});

const errorSchema = z.object({ customCode: z.string() });

/**
 * Asks Sourcify's API v2 for a verified contract.
 *
 * @throws TerminalError `ContractNotVerified`, `ChainUnsupported`, `UpstreamRefused`; RetryableError those of
 *   {@link callUpstream}.
 */
export async function loadFromSourcify(
  context: HandlerContext,
  settings: SourcifySettings & { timeoutMs: number; maxBytes: number },
  contract: { chainId: number; address: string },
): Promise<LoadedContract> {
  const base = settings.baseUrl.replace(/\/+$/, '');
  const url = new URL(`${base}/v2/contract/${contract.chainId}/${contract.address}?fields=${FIELDS}`);
  const { perSecond, perDay, timeoutMs, maxBytes } = settings;
  const budget = { name: 'sourcify', perSecond, perDay };
  const { status, json } = await callUpstream(context, {
    provider: PROVIDER,
    url,
    budget,
    timeoutMs,
    maxBytes,
  });
  if (status >= 400) throw explainRefusal(status, json);
  const parsed = answerSchema.safeParse(json);
  if (!parsed.success) throw invalidAnswer(PROVIDER, 'a JSON answer of unknown shape');
  return toContract(parsed.data);
}

/** An unsupported chain answers 404 today and 400 by its documentation; its code tells it from an unknown contract. */
function explainRefusal(status: number, json: unknown): TerminalError {
  if (errorSchema.safeParse(json).data?.customCode === 'unsupported_chain') {
    return new TerminalError('ChainUnsupported', 'Sourcify does not serve this chain');
  }
  if (status === 404) {
    return new TerminalError('ContractNotVerified', 'Sourcify has no verified source of this contract');
  }
  return new TerminalError('UpstreamRefused', `Sourcify refused the call with status ${status}`);
}

function toContract({
  sources,
  compilation,
  abi,
  proxyResolution,
}: z.output<typeof answerSchema>): LoadedContract {
  const files = Object.entries(sources).map(([path, { content }]) => ({ path, content }));
  const { compilerSettings, fullyQualifiedName } = compilation;
  const main = files.find(({ path }) => fullyQualifiedName?.startsWith(`${path}:`)) ?? files[0];
  return {
    name: compilation.name,
    source: 'sourcify',
    language: toLanguage(compilation.language),
    compiler: compilation.compilerVersion,
    license: /SPDX-License-Identifier:[ \t]*([\w.+-]{1,64})/.exec(main?.content ?? '')?.[1] ?? null,
    optimisation: {
      enabled: compilerSettings?.optimizer?.enabled ?? false,
      runs: compilerSettings?.optimizer?.runs ?? null,
    },
    evmVersion: compilerSettings?.evmVersion ?? null,
    constructorArguments: null,
    abi: abi ?? null,
    files,
    isProxy: proxyResolution?.isProxy ?? false,
    implementation: proxyResolution?.implementations?.[0]?.address ?? null,
  };
}
