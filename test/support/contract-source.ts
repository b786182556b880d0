import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import {
  type ContractSourceSettings,
  createContractSourceHandler,
} from '../../src/types/contract-source/run.ts';
import type { ContractSourceResult } from '../../src/types/contract-source/type.ts';
import { KNOWN } from './fake-contracts.ts';
import { startFakeEtherscan } from './fake-etherscan.ts';
import type { FakeProvider } from './fake-provider.ts';
import { startFakeSourcify } from './fake-sourcify.ts';
import { runHandler, type TestContextOptions } from './handler-context.ts';

export const API_KEY = 'SECRETKEYOFTHETEST0123456789ABCDEF';

export let etherscan: FakeProvider;
export let sourcify: FakeProvider;

/** Starts both stand-ins for the tests of a file, and lets them behave again after each test. */
export function useFakeProviders(): void {
  beforeAll(async () => {
    etherscan = await startFakeEtherscan({ apiKey: API_KEY, unlimited: true });
    sourcify = await startFakeSourcify();
  });
  afterAll(async () => {
    await Promise.all([etherscan.close(), sourcify.close()]);
  });
  afterEach(() => {
    for (const address of Object.values(KNOWN)) {
      etherscan.fail(address, null);
      sourcify.fail(address, null);
    }
  });
}

/** Runs `contract-source` against the stand-ins. */
export function load(
  input: unknown,
  settings: ContractSourceSettings = {},
  options: TestContextOptions = {},
) {
  const registration = createContractSourceHandler({
    timeoutMs: 500,
    maxAnswerBytes: 1_000_000,
    ...settings,
    etherscan: { baseUrl: etherscan.url, apiKey: API_KEY, ...settings.etherscan },
    sourcify: { baseUrl: sourcify.url, ...settings.sourcify },
  });
  return runHandler<ContractSourceResult>(registration, input, options);
}

/** The error that a run ended with, checked to tell nothing of the API key, whatever its cause. */
export async function failureOf(
  run: Promise<unknown>,
): Promise<Error & { code?: string; retryAfterMs?: number }> {
  const error = await run.then(
    () => new Error('The handler succeeded'),
    (reason: unknown) => reason as Error,
  );
  const seen = `${error.message} ${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`;
  expect(seen).not.toContain(API_KEY);
  expect(seen).not.toContain('apikey');
  return error;
}

/** Lets Etherscan answer for `KNOWN.single` with a record of these fields. */
export function answerWith(fields: Record<string, string>): void {
  const record = { SourceCode: 'x', ABI: '[]', ContractName: 'X', CompilerVersion: 'v0.8.24', ...fields };
  etherscan.fail(KNOWN.single, {
    failure: { kind: 'json', body: { status: '1', message: 'OK', result: [record] } },
  });
}
