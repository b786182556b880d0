// A worker of your own: one type, one handler. `startWorker` takes everything else from the variables of the pool.
import { setTimeout as sleep } from 'node:timers/promises';
import { defineHandler, defineJobType, RetryableError, startWorker } from 'longshore/worker';
import { z } from 'zod';

const greet = defineJobType({
  name: 'greet',
  description: 'Greets somebody, if need be after a while or at a later attempt',
  input: z.strictObject({
    name: z.string(),
    seconds: z.number().min(0).max(600).default(0),
    failures: z.int().min(0).default(0),
  }),
  result: z.strictObject({ text: z.string(), attempt: z.int() }),
});

await startWorker([
  defineHandler(greet, async ({ input, job, signal, progress }) => {
    progress(0.5, 'Clearing my throat');
    // The signal ends the wait when the job is cancelled or its pod has to go.
    await sleep(input.seconds * 1_000, undefined, { signal });
    if (job.attempt <= input.failures) throw new RetryableError('HoarseVoice', 'Not a word came out');
    return { text: `Hello, ${input.name}!`, attempt: job.attempt };
  }),
]);
