import type { z } from 'zod';
import { toInputMistakes } from '../types/input-mistakes.ts';
import { invalidInput } from './problem.ts';

/** `value` as the schema has it; throws an `InvalidInput` problem otherwise. */
export function parseWith<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  base = '',
): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalidInput(...toInputMistakes(parsed.error.issues, base));
}

/** Query parameters, each given once at most; pointers look like `?limit`. */
export function parseQuery<Schema extends z.ZodType>(schema: Schema, url: string): z.output<Schema> {
  const start = url.indexOf('?');
  const values = Object.create(null) as Record<string, string>;
  const search = start < 0 ? '' : url.slice(start + 1);
  if (search.length > 4_096) throw invalidInput({ pointer: '?', detail: 'is longer than 4096 characters' });
  for (const [name, value] of new URLSearchParams(search)) {
    if (name in values) throw invalidInput({ pointer: `?${name}`, detail: 'is given more than once' });
    if (value.includes('\0')) throw invalidInput({ pointer: `?${name}`, detail: 'must not contain U+0000' });
    values[name] = value;
  }
  const parsed = schema.safeParse({ ...values });
  if (parsed.success) return parsed.data;
  throw invalidInput(
    ...toInputMistakes(parsed.error.issues).map((error) => ({
      ...error,
      pointer: `?${error.pointer.slice(1)}`,
    })),
  );
}
