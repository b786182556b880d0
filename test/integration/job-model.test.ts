import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { WorkerLedger } from '../../src/ledger/worker-ledger.ts';
import { JobModel } from '../support/job-model.ts';
import { type Step, stepArbitrary } from '../support/job-steps.ts';
import { createTestLedger, type TestLedger } from '../support/ledger.ts';

/** Any interleaving of what may happen to a few jobs, on the real functions of the ledger, against a model of them. */
let ledger: TestLedger;
let workers: WorkerLedger[];

beforeAll(async () => {
  ledger = await createTestLedger(['echo']);
  workers = [ledger.worker('a'), ledger.worker('b')];
});
afterAll(() => ledger.close());

const seed = Number(process.env.LONGSHORE_TEST_SEED ?? Date.now() % 2 ** 31);
const path = process.env.LONGSHORE_TEST_PATH;

it(`keeps the invariants of a job's life (LONGSHORE_TEST_SEED=${seed})`, async () => {
  const taken = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(stepArbitrary, { minLength: 5, maxLength: 40, size: 'max' }),
      async (steps: Step[]) => {
        const model = new JobModel(ledger, workers);
        for (const step of [...FIRST, ...steps]) {
          const effect = await model.take(step);
          taken.set(effect, (taken.get(effect) ?? 0) + 1);
          await model.check();
        }
        await model.expectAllCanEnd();
      },
    ),
    {
      seed,
      ...(path === undefined ? {} : { path }),
      interruptAfterTimeLimit: 20_000,
      numRuns: 2_000,
      endOnFailure: false,
    },
  );
  const seen = [...taken].sort().map(([effect, count]) => `${effect} ${count}`);
  console.info(`Took ${seen.join(', ')}`);
  // A model whose steps never took effect would hold for ever.
  for (const effect of REACHED) expect(taken.get(effect) ?? 0, `${effect} was reached`).toBeGreaterThan(0);
}, 60_000);

/** Two jobs to begin with: most steps are about one. */
const FIRST: Step[] = [0, 2].map((retries) => ({ do: 'submit', retries, again: false, pick: 0 }));

/** What even a short run comes by. */
const REACHED = [
  'accepted',
  'claimed',
  'committed succeeded',
  'fenced',
  'recovered reopened',
  'cancelled',
  'retried',
  'suspended',
  'renewed',
  'refused stale',
  'refused leased',
  'refused finished',
];
