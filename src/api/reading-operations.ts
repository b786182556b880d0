import { z } from 'zod';
import type { Operation } from './operation.ts';
import * as schemas from './reading-schemas.ts';

const json = (schema: z.ZodType) => ({ schema, mediaType: 'application/json' });
const csv = { schema: z.string(), mediaType: 'text/csv' };
const reading = { description: 'The reading', schema: schemas.readingSchema };

/** Meters, readings, and files of them. */
export const READING_OPERATIONS: readonly Operation[] = [
  {
    method: 'post',
    path: '/v1/meter-readings',
    id: 'sendReading',
    summary: "Send a meter's reading",
    scope: 'submit',
    headers: {
      'Idempotency-Key': '1 to 255 visible ASCII characters; the same key and body are one reading',
    },
    body: json(schemas.readingRequest),
    answers: {
      201: { ...reading, description: 'The reading, durable; it is judged within seconds' },
      200: { ...reading, description: 'The same reading was there already' },
      202: {
        description: 'Durable, on the disk of the API while its database cannot be reached',
        schema: schemas.spooledReading,
      },
    },
    problems: [400, 413, 415, 422],
  },
  {
    method: 'post',
    path: '/v1/meter-readings:batch',
    id: 'sendReadings',
    summary: 'Send up to 1,000 readings, all or none',
    scope: 'submit',
    body: json(
      z
        .object({ readings: z.array(schemas.readingRequest).min(1).max(schemas.MAX_BATCH_READINGS) })
        .meta({ id: 'ReadingBatchRequest' }),
    ),
    answers: {
      201: { description: 'What became of each, in their order', schema: schemas.readingBatch },
      202: {
        description: 'Durable, on the disk of the API while its database cannot be reached',
        schema: schemas.readingBatch,
      },
    },
    problems: [400, 413, 415],
  },
  {
    method: 'get',
    path: '/v1/meter-readings/{id}',
    id: 'getReading',
    summary: 'Read a reading: whether it was accepted, or why not',
    scope: 'read',
    answers: { 200: reading },
    problems: [404],
  },
  {
    method: 'get',
    path: '/v1/meter-readings:export',
    id: 'exportReadings',
    summary: 'All readings of a month as CSV',
    scope: 'read',
    query: schemas.exportQuery,
    answers: { 200: { description: 'The readings', schema: z.string(), mediaTypes: ['text/csv'] } },
    problems: [400],
  },
  {
    method: 'get',
    path: '/v1/meters/{id}',
    id: 'getMeter',
    summary: 'Read a meter, and where its registers stand',
    scope: 'read',
    answers: { 200: { description: 'The meter', schema: schemas.meterSchema } },
    problems: [404],
  },
  {
    method: 'get',
    path: '/v1/meters/{id}/readings',
    id: 'listReadings',
    summary: "List a meter's readings, newest first",
    scope: 'read',
    query: schemas.readingListQuery,
    answers: { 200: { description: 'A page', schema: schemas.readingPage } },
    problems: [400, 404],
  },
  {
    method: 'get',
    path: '/v1/meters/{id}/bill',
    id: 'getBill',
    summary: "What a meter used in a month, and what it costs; this month's unless told",
    scope: 'read',
    query: schemas.billQuery,
    answers: { 200: { description: 'The bill', schema: schemas.billSchema } },
    problems: [400, 404],
  },
  {
    method: 'put',
    path: '/v1/meter-reading-imports/{name}',
    id: 'importReadings',
    summary: 'Import a CSV file of readings of any size, or the rest of one that broke off',
    scope: 'submit',
    query: schemas.importQuery,
    body: csv,
    answers: { 200: { description: 'What became of its rows', schema: schemas.importSchema } },
    problems: [400, 409, 415],
  },
  {
    method: 'get',
    path: '/v1/meter-reading-imports/{name}',
    id: 'getImport',
    summary: 'How far an import is',
    scope: 'read',
    answers: { 200: { description: 'The import', schema: schemas.importSchema } },
    problems: [404],
  },
  {
    method: 'get',
    path: '/v1/meter-reading-imports/{name}/refusals',
    id: 'listImportRefusals',
    summary: 'The rows that an import refused, with their lines; the first 10,000',
    scope: 'read',
    answers: {
      200: {
        description: 'The rows',
        schema: z.object({
          refused: z.int(),
          refusals: z.array(z.object({ line: z.int(), code: z.string(), detail: z.string() })),
        }),
      },
    },
    problems: [404],
  },
];
