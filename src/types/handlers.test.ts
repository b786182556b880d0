import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createShippedHandlers } from './handlers.ts';
import { SHIPPED_TYPES } from './registry.ts';

describe('the shipped types', () => {
  it('each have a handler, in the same order', () => {
    expect(createShippedHandlers().map(({ type }) => type)).toEqual(SHIPPED_TYPES);
    expect(new Set(SHIPPED_TYPES.map(({ name }) => name)).size).toBe(SHIPPED_TYPES.length);
  });

  it.each(SHIPPED_TYPES)('$name can be shown as JSON Schema', (type) => {
    for (const io of ['input', 'output'] as const) {
      expect(z.toJSONSchema(type.input, { io })).toMatchObject({
        type: 'object',
        additionalProperties: false,
      });
      expect(z.toJSONSchema(type.result, { io })).toMatchObject({ type: 'object' });
    }
  });
});
