import { z } from 'zod';
import type { JobType } from '../core/job-type.ts';
import type { StoredJobType } from '../ledger/job-types.ts';

/** A shipped type as the ledger keeps it, for every namespace: its schemas as JSON Schema. */
export function toStoredType(type: JobType): Omit<StoredJobType, 'paused'> {
  return {
    namespace: '',
    name: type.name,
    description: type.description,
    inputSchema: z.toJSONSchema(type.input, { io: 'input', unrepresentable: 'any' }),
    resultSchema: z.toJSONSchema(type.result, { io: 'output', unrepresentable: 'any' }),
    defaults: type.defaults,
    limits: type.limits,
  };
}
