import { z } from 'zod';
import { defineJobType } from '../../core/job-type.ts';

const input = z.strictObject({
  range: z.uuid().describe('Of stored readings, as the controller cut it'),
});

const result = z.strictObject({
  accepted: z.int(),
  refused: z.int(),
  /** How many readings were refused for each reason. */
  reasons: z.record(z.string(), z.int()),
});

export type MeterReadingsInput = z.output<typeof input>;
export type MeterReadingsResult = z.output<typeof result>;

/**
 * Judges one range of stored readings. The controller makes these jobs, one for up to 1,000 readings; a job with a range
 * that is not its own ends as `RangeUnknown`. Retryable errors: `LedgerUnavailable`, `RegistersMoved`.
 */
export const meterReadingsType = defineJobType({
  name: 'meter-readings',
  description: 'Judges one range of stored meter readings: history, window of days, consumption and cost',
  input,
  result,
  defaults: {
    timeoutSeconds: 60,
    maxTimeoutSeconds: 600,
    retries: 10,
    backoff: { baseMs: 500, maxMs: 60_000 },
    ttlSecondsAfterFinished: 60,
  },
});
