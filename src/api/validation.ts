import type { z } from 'zod';
import { toPointer } from './json-safety.ts';
import { invalidInput, type ProblemError } from './problem.ts';

/** How many mistakes one answer lists. */
export const MAX_ERRORS = 20;

/** The mistakes that zod found, below `base`, the first at each place; an unknown key is reported at its own. */
export function toProblemErrors(issues: readonly z.core.$ZodIssue[], base = ''): ProblemError[] {
  const errors = new Map<string, ProblemError>();
  for (const issue of issues) {
    const pointer = base + toPointer(issue.path);
    const found =
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => ({ pointer: pointer + toPointer([key]), detail: 'is not known here' }))
        : [{ pointer, detail: detailOf(issue) }];
    for (const error of found) if (!errors.has(error.pointer)) errors.set(error.pointer, error);
  }
  return [...errors.values()].slice(0, MAX_ERRORS);
}

function detailOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message;
  return issue.code === 'invalid_type' && issue.message.endsWith('received undefined')
    ? 'is missing'
    : issue.message;
}

/** `value` as the schema has it; throws an `InvalidInput` problem otherwise. */
export function parseWith<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  base = '',
): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalidInput(...toProblemErrors(parsed.error.issues, base));
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
    ...toProblemErrors(parsed.error.issues).map((error) => ({
      ...error,
      pointer: `?${error.pointer.slice(1)}`,
    })),
  );
}
