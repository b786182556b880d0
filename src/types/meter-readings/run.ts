import { LongshoreError, RetryableError, TerminalError } from '../../core/errors.ts';
import { defineHandler, type HandlerContext, type Registration } from '../../core/handler.ts';
import { judgeReadings, type LoadedReading } from './judge.ts';
import { type MeterReadingsInput, type MeterReadingsResult, meterReadingsType } from './type.ts';

/** How often a range is judged anew because another job had readings of the same meters. */
const MAX_TRIES = 5;

interface LoadedRange {
  /** An earlier delivery has done it all. */
  judged: boolean;
  readings: LoadedReading[];
}

/**
 * The handler of `meter-readings`. Loading and writing are functions of the ledger that ask for the lease; a register that
 * moved in between is noticed there, and the range is judged anew. Running it twice is safe: a reading is judged once.
 */
export function createMeterReadingsHandler(): Registration {
  return defineHandler(meterReadingsType, run);
}

async function run(context: HandlerContext<MeterReadingsInput>): Promise<MeterReadingsResult> {
  const { range } = context.input;
  for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
    context.signal.throwIfAborted();
    const loaded = (await context.procedure('load_reading_range', { range })) as LoadedRange | null;
    if (loaded === null) throw new TerminalError('RangeUnknown', 'This job has no such range of readings');
    const { judgements, registers } = judgeReadings(loaded.readings);
    if (loaded.judged) return summaryOf([]);
    try {
      // What the ledger has itself is not sent: a range is a thousand readings.
      await context.procedure('judge_reading_range', {
        range,
        judgements: judgements.map(({ status: _, day: __, ...judgement }) => judgement),
        registers: registers.map(({ id, beforeId }) => ({ id, beforeId })),
      });
      return summaryOf(judgements);
    } catch (error) {
      if (!(error instanceof LongshoreError && error.code === 'SerializationFailure')) throw error;
      context.logger.info({ range, tries }, 'Judged a range anew: another job had readings of its meters');
    }
  }
  throw new RetryableError('RegistersMoved', 'Other jobs kept changing the registers of these meters');
}

function summaryOf(judgements: readonly { reason: string | null }[]): MeterReadingsResult {
  const reasons: Record<string, number> = {};
  for (const { reason } of judgements) if (reason !== null) reasons[reason] = (reasons[reason] ?? 0) + 1;
  const refused = Object.values(reasons).reduce((sum, n) => sum + n, 0);
  return { accepted: judgements.length - refused, refused, reasons };
}
