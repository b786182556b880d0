import { z } from 'zod';
import { MAX_READING_VALUE, READING_REFUSALS, READING_STATUSES } from '../core/meter-reading.ts';
import { cursor, limit } from './schemas.ts';

/** The shapes of meters and their readings over REST. */

export const MAX_BATCH_READINGS = 1_000;

export const meterId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
  error: 'must be 1 to 64 letters, digits, ".", "_" and "-", the first a letter or digit',
});

export const zone = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}$/, { error: 'must be at most 32 lower-case letters, digits and "-"' });

export const source = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}$/, { error: 'must be at most 32 lower-case letters, digits and "-"' });

export const readingValue = z
  .int({ error: 'must be a whole number' })
  .min(0, { error: 'must not be negative' })
  .max(MAX_READING_VALUE, { error: 'must have at most nine digits' });

export const readingRequest = z
  .strictObject({
    meterId,
    value: readingValue.describe('Whole units, as the register shows them'),
    zone: zone.optional().describe('Which register of a meter that has several; `total` unless told'),
    readAt: z.iso
      .datetime({
        offset: true,
        error: 'must be a time of ISO 8601 with its offset, such as 2030-01-20T18:00:00Z',
      })
      .optional()
      .describe('When it was read; now unless told. At most 400 days ago'),
    source: source.optional().describe('Who sends it, such as `page` or `operator`; `api` unless told'),
  })
  .meta({ id: 'ReadingRequest' });

export type ReadingRequest = z.output<typeof readingRequest>;

export const readingBatchRequest = z.strictObject({
  readings: z.array(z.unknown()).min(1).max(MAX_BATCH_READINGS),
});

const time = z.iso.datetime().nullable();

export const readingSchema = z
  .object({
    id: z.uuid(),
    meterId: z.string(),
    zone: z.string(),
    value: z.int(),
    day: z.iso.date().describe('The date of readAt where the meters are'),
    readAt: z.iso.datetime(),
    source: z.string(),
    status: z.enum(READING_STATUSES).describe('RECEIVED: durable, and not judged yet'),
    reason: z
      .object({ code: z.enum(READING_REFUSALS), message: z.string() })
      .nullable()
      .describe('Why it was REFUSED'),
    previous: z.int().nullable().describe('What its register had shown before'),
    consumption: z.int().nullable(),
    rolledOver: z.boolean().nullable(),
    cost: z.string().nullable().describe('Exact decimal; null without a tariff'),
    currency: z.string().nullable(),
    receivedAt: time,
    judgedAt: time,
    links: z.object({ self: z.string(), meter: z.string() }),
  })
  .meta({ id: 'Reading' });

export const spooledReading = z
  .object({
    id: z.uuid(),
    status: z.literal('SPOOLED'),
    links: z.object({ self: z.string(), meter: z.string() }),
  })
  .meta({ id: 'SpooledReading' });

export const readingBatch = z
  .object({
    readings: z.array(z.object({ id: z.uuid(), outcome: z.enum(['stored', 'existing', 'spooled']) })),
  })
  .meta({ id: 'ReadingBatch' });

export const readingPage = z
  .object({ readings: z.array(readingSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'ReadingPage' });

export const readingListQuery = z.strictObject({ limit, cursor });

const month = z.string().regex(/^20\d{2}-(0[1-9]|1[0-2])$/, { error: 'must be a month such as 2030-01' });

export const billQuery = z.strictObject({ month: month.optional() });
export const exportQuery = z.strictObject({ month });

export const billSchema = z
  .object({
    meterId: z.string(),
    month: z.string(),
    lines: z.array(
      z.object({
        zone: z.string(),
        readings: z.int(),
        from: z.int().nullable(),
        to: z.int(),
        consumption: z.int(),
        cost: z.string().nullable(),
        currency: z.string().nullable(),
      }),
    ),
    consumption: z.int(),
    cost: z.string().nullable().describe('Null when a line has none, or currencies differ'),
    currency: z.string().nullable(),
    waiting: z.int().describe('Readings of the month that are not judged yet'),
  })
  .meta({ id: 'Bill' });

export const meterSchema = z
  .object({
    id: z.string(),
    customerId: z.string(),
    tariff: z.string(),
    zones: z.array(z.string()),
    digits: z.int(),
    rollsOver: z.boolean(),
    maxPerDay: z.int(),
    registers: z.array(z.object({ zone: z.string(), value: z.int(), day: z.iso.date() })),
    links: z.object({ self: z.string(), readings: z.string(), bill: z.string() }),
  })
  .meta({ id: 'Meter' });

export const importQuery = z.strictObject({
  offset: z
    .string()
    .regex(/^(0|[1-9]\d{0,14})$/, { error: 'must be a number of bytes' })
    .transform(Number)
    .optional()
    .describe('The body is the rest of the file from here on: `bytes` of the import that broke off'),
});

export const importName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);

export const importSchema = z
  .object({
    name: z.string(),
    state: z.enum(['running', 'done', 'failed']),
    bytes: z.int().describe('Bytes of the file that are dealt with'),
    lines: z.int(),
    stored: z.int(),
    existing: z.int().describe('Rows whose reading was there already'),
    refused: z.int(),
    error: z.string().nullable(),
    startedAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    links: z.object({ self: z.string(), refusals: z.string() }),
  })
  .meta({ id: 'ReadingImport' });
