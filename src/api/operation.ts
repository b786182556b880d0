import type { z } from 'zod';
import type { ApiKeyScope } from '../ledger/api-keys.ts';

/** One call of the API: what the OpenAPI document, the reference page and the answer 405 are made from. */
export interface Operation {
  method: 'get' | 'post' | 'put' | 'delete';
  /** With parameters in braces. */
  path: string;
  id: string;
  summary: string;
  /** Null: no key is needed. */
  scope: ApiKeyScope | null;
  query?: z.ZodObject;
  headers?: Record<string, string>;
  body?: { schema: z.ZodType; mediaType: string };
  /** Status → what the body is; null for none. */
  answers: Record<number, { description: string; schema: z.ZodType | null; mediaTypes?: string[] }>;
  problems: number[];
}
