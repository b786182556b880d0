import type { Operation } from './operation.ts';
import * as schemas from './rate-schemas.ts';

const tradeInfo = { description: 'The row, and how its last round went', schema: schemas.tradeInfoSchema };

/** The calls about exchange rates. */
export const RATE_OPERATIONS: readonly Operation[] = [
  {
    method: 'get',
    path: '/v1/rates',
    id: 'listRates',
    summary: 'Rates of many pairs',
    scope: 'read',
    query: schemas.rateListQuery,
    headers: { 'If-None-Match': 'The ETag of an earlier answer' },
    answers: {
      200: { description: 'The rates', schema: schemas.rateListSchema },
      304: { description: 'Nothing has changed', schema: null },
    },
    problems: [400],
  },
  {
    method: 'get',
    path: '/v1/rates/{pair}',
    id: 'getRate',
    summary: 'The rate of a pair such as BTC-USDT: as quoted, turned round, or through a common asset',
    scope: 'read',
    query: schemas.rateQuery,
    headers: { 'If-None-Match': 'The ETag of an earlier answer' },
    answers: {
      200: { description: 'The rate', schema: schemas.rateSchema },
      304: { description: 'Nothing has changed', schema: null },
    },
    problems: [400, 404],
  },
  {
    method: 'get',
    path: '/v1/rates/{pair}/history',
    id: 'getRateHistory',
    summary: 'What a tracked pair has cost',
    scope: 'read',
    query: schemas.rateHistoryQuery,
    answers: { 200: { description: 'Points in the order of time', schema: schemas.rateHistorySchema } },
    problems: [400, 404],
  },
  {
    method: 'get',
    path: '/v1/rates/{pair}/stream',
    id: 'streamRate',
    summary: 'Follow a rate (Server-Sent Events)',
    scope: 'read',
    query: schemas.rateQuery,
    answers: {
      200: {
        description: 'An event `rate` at once, with each new rate, and when it becomes stale',
        schema: schemas.rateSchema,
        mediaTypes: ['text/event-stream'],
      },
    },
    problems: [400, 404],
  },
  {
    method: 'get',
    path: '/v1/trade-info',
    id: 'listTradeInfo',
    summary: 'What is tracked',
    scope: 'read',
    query: schemas.tradeInfoListQuery,
    answers: { 200: { description: 'A page', schema: schemas.tradeInfoListSchema } },
    problems: [400],
  },
  {
    method: 'get',
    path: '/v1/trade-info/{provider}/{pair}',
    id: 'getTradeInfo',
    summary: 'How a tracked pair stands',
    scope: 'read',
    answers: { 200: tradeInfo },
    problems: [400, 404],
  },
  {
    method: 'put',
    path: '/v1/trade-info/{provider}/{pair}',
    id: 'putTradeInfo',
    summary: 'Track a pair, or change how',
    scope: 'submit',
    body: { schema: schemas.tradeInfoRequest, mediaType: 'application/json' },
    answers: { 200: tradeInfo, 201: tradeInfo },
    problems: [400, 404, 413, 415],
  },
  {
    method: 'delete',
    path: '/v1/trade-info/{provider}/{pair}',
    id: 'deleteTradeInfo',
    summary: 'Track a pair no more, and forget its history',
    scope: 'submit',
    answers: { 204: { description: 'Gone', schema: null } },
    problems: [400, 404],
  },
];
