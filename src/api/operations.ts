import { z } from 'zod';
import { contractSourceType } from '../types/contract-source/type.ts';
import { imageConvertType } from '../types/image-convert/type.ts';
import type { Operation } from './operation.ts';
import { RATE_OPERATIONS } from './rate-operations.ts';
import { READING_OPERATIONS } from './reading-operations.ts';
import { resultQuery } from './routes/job-result.ts';
import * as schemas from './schemas.ts';

const KEY = {
  'Idempotency-Key': '1 to 255 visible ASCII characters; the same key and body answer the first job',
};
const job = { description: 'The job', schema: schemas.jobSchema };
const json = (schema: z.ZodType) => ({ schema, mediaType: 'application/json' });
const anyJson = z.unknown();
const bytes = z.string().meta({ format: 'binary' });

const imageForm = z
  .object({ file: bytes, ...(imageConvertType.input as z.ZodObject).shape })
  .meta({ id: 'ImageForm' });

export const OPERATIONS: readonly Operation[] = [
  {
    method: 'post',
    path: '/v1/jobs',
    id: 'submitJob',
    summary: 'Submit a job',
    scope: 'submit',
    headers: KEY,
    body: json(schemas.jobRequest),
    answers: { 201: job, 200: { ...job, description: 'The first job of this Idempotency-Key' } },
    problems: [400, 413, 415, 422],
  },
  {
    method: 'get',
    path: '/v1/jobs',
    id: 'listJobs',
    summary: 'List jobs, newest first',
    scope: 'read',
    query: schemas.jobListQuery,
    answers: { 200: { description: 'A page', schema: schemas.jobPage } },
    problems: [400],
  },
  {
    method: 'post',
    path: '/v1/jobs:batch',
    id: 'submitBatch',
    summary: 'Submit up to 1,000 jobs, all or none',
    scope: 'submit',
    headers: KEY,
    body: json(
      z
        .object({ jobs: z.array(schemas.jobRequest).min(1).max(schemas.MAX_BATCH_JOBS) })
        .meta({ id: 'Batch' }),
    ),
    answers: { 201: { description: 'The jobs', schema: z.object({ jobs: z.array(schemas.jobSchema) }) } },
    problems: [400, 413, 415, 422],
  },
  {
    method: 'post',
    path: '/v1/jobs:cancel',
    id: 'cancelJobs',
    summary: 'Cancel the jobs that a filter finds, up to 10,000',
    scope: 'submit',
    body: json(schemas.bulkRequest),
    answers: { 202: { description: 'The operation, under way', schema: schemas.bulkOperation } },
    problems: [400, 413, 415],
  },
  {
    method: 'post',
    path: '/v1/jobs:retry',
    id: 'retryJobs',
    summary: 'Retry the jobs that a filter finds, up to 10,000',
    scope: 'submit',
    body: json(schemas.bulkRequest),
    answers: { 202: { description: 'The operation, under way', schema: schemas.bulkOperation } },
    problems: [400, 413, 415],
  },
  {
    method: 'get',
    path: '/v1/bulk-operations/{id}',
    id: 'getBulkOperation',
    summary: 'Read a bulk operation',
    scope: 'read',
    answers: { 200: { description: 'The operation with its counts', schema: schemas.bulkOperation } },
    problems: [404],
  },
  {
    method: 'get',
    path: '/v1/jobs/{id}',
    id: 'getJob',
    summary: 'Read a job',
    scope: 'read',
    answers: { 200: job },
    problems: [404],
  },
  {
    method: 'delete',
    path: '/v1/jobs/{id}',
    id: 'cancelJob',
    summary: 'Cancel a job',
    scope: 'submit',
    answers: {
      200: { ...job, description: 'The job, cancelled' },
      202: { ...job, description: 'The job, whose worker will stop' },
    },
    problems: [404, 409],
  },
  {
    method: 'post',
    path: '/v1/jobs/{id}:retry',
    id: 'retryJob',
    summary: 'Open a further attempt of a failed or cancelled job',
    scope: 'submit',
    answers: { 200: job },
    problems: [404, 409],
  },
  {
    method: 'get',
    path: '/v1/jobs/{id}/result',
    id: 'getResult',
    summary: 'Get the result: bytes, or JSON',
    scope: 'read',
    query: resultQuery,
    headers: { Range: 'One range of bytes' },
    answers: {
      200: {
        description: 'The result',
        schema: anyJson,
        mediaTypes: ['application/json', 'application/octet-stream'],
      },
      206: { description: 'A part of it', schema: bytes, mediaTypes: ['application/octet-stream'] },
    },
    problems: [404, 409, 410, 416],
  },
  {
    method: 'get',
    path: '/v1/jobs/{id}/events',
    id: 'streamEvents',
    summary: 'Follow a job until it ends (Server-Sent Events)',
    scope: 'read',
    headers: { 'Last-Event-ID': 'Go on after this event' },
    answers: {
      200: { description: 'Events', schema: z.string(), mediaTypes: ['text/event-stream'] },
      204: { description: 'The job has ended and every event was read', schema: null },
    },
    problems: [400, 404],
  },
  {
    method: 'post',
    path: '/v1/images',
    id: 'submitImage',
    summary: 'Upload an image to convert',
    scope: 'submit',
    headers: KEY,
    body: { schema: imageForm, mediaType: 'multipart/form-data' },
    answers: { 201: job, 200: { ...job, description: 'The first job of this Idempotency-Key' } },
    problems: [400, 408, 413, 415, 422],
  },
  {
    method: 'post',
    path: '/v1/contracts',
    id: 'submitContract',
    summary: "Load a contract's source",
    scope: 'submit',
    body: json(contractSourceType.input),
    answers: { 201: job, 200: { ...job, description: 'The job of this contract, loaded or under way' } },
    problems: [400, 413, 415],
  },
  {
    method: 'get',
    path: '/v1/contracts/{chainId}/{address}',
    id: 'getContract',
    summary: 'How far a contract is',
    scope: 'read',
    answers: { 200: { description: 'Its status', schema: schemas.contractStatus } },
    problems: [400, 404],
  },
  {
    method: 'get',
    path: '/v1/contracts/{chainId}/{address}/source',
    id: 'getContractSource',
    summary: "A contract's source, as JSON or a zip of its files",
    scope: 'read',
    answers: {
      200: {
        description: 'The source',
        schema: anyJson,
        mediaTypes: ['application/json', 'application/zip'],
      },
    },
    problems: [400, 404, 406, 409, 410],
  },
  {
    method: 'get',
    path: '/v1/schedules',
    id: 'listSchedules',
    summary: 'List schedules by name',
    scope: 'read',
    query: schemas.scheduleListQuery,
    answers: {
      200: {
        description: 'A page',
        schema: z.object({ schedules: z.array(schemas.scheduleSchema), nextCursor: z.string().nullable() }),
      },
    },
    problems: [400],
  },
  {
    method: 'get',
    path: '/v1/schedules/{name}',
    id: 'getSchedule',
    summary: 'Read a schedule',
    scope: 'read',
    answers: { 200: { description: 'The schedule', schema: schemas.scheduleSchema } },
    problems: [404],
  },
  {
    method: 'put',
    path: '/v1/schedules/{name}',
    id: 'putSchedule',
    summary: 'Make or change a schedule',
    scope: 'submit',
    body: json(schemas.scheduleRequest),
    answers: {
      200: { description: 'Changed', schema: schemas.scheduleSchema },
      201: { description: 'Made', schema: schemas.scheduleSchema },
    },
    problems: [400, 409, 413, 415],
  },
  {
    method: 'delete',
    path: '/v1/schedules/{name}',
    id: 'deleteSchedule',
    summary: 'End a schedule; its jobs stay',
    scope: 'submit',
    answers: { 204: { description: 'Gone', schema: null } },
    problems: [404, 409],
  },
  {
    method: 'get',
    path: '/v1/job-types',
    id: 'listJobTypes',
    summary: 'The job types with their schemas',
    scope: 'read',
    answers: {
      200: { description: 'The types', schema: z.object({ jobTypes: z.array(schemas.jobTypeSchema) }) },
    },
    problems: [],
  },
  ...RATE_OPERATIONS,
  ...READING_OPERATIONS,
  {
    method: 'get',
    path: '/openapi.json',
    id: 'getOpenApi',
    summary: 'This document',
    scope: null,
    answers: { 200: { description: 'OpenAPI 3.1', schema: anyJson } },
    problems: [],
  },
  {
    method: 'get',
    path: '/docs',
    id: 'getDocs',
    summary: 'This document for people',
    scope: null,
    answers: { 200: { description: 'A page', schema: z.string(), mediaTypes: ['text/html'] } },
    problems: [],
  },
];

const PATTERNS = OPERATIONS.map((operation) => ({
  method: operation.method.toUpperCase(),
  pattern: new RegExp(`^${operation.path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`),
}));

/** The methods that a path knows, for `Allow`; none for an unknown path. */
export function allowedMethods(path: string): string[] {
  const methods = PATTERNS.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
  return [...new Set(methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])))].sort();
}
