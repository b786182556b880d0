import type { z } from 'zod';
import { toPointer } from '../core/json-safety.ts';
import type { InputMistake } from '../core/known-type.ts';

/** How many mistakes are told at once. */
export const MAX_MISTAKES = 20;

/** The mistakes that zod found, below `base`, the first at each place; an unknown key is reported at its own. */
export function toInputMistakes(issues: readonly z.core.$ZodIssue[], base = ''): InputMistake[] {
  const errors = new Map<string, InputMistake>();
  for (const issue of issues) {
    const pointer = base + toPointer(issue.path);
    const found =
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => ({ pointer: pointer + toPointer([key]), detail: 'is not known here' }))
        : [{ pointer, detail: detailOf(issue) }];
    for (const error of found) if (!errors.has(error.pointer)) errors.set(error.pointer, error);
  }
  return [...errors.values()].slice(0, MAX_MISTAKES);
}

/** What zod begins its sentences with. The place is named before each of ours, and one colon is enough. */
const HEADING = /^(?:Invalid (?:input|option)|Too (?:big|small)): /;

function detailOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message;
  return issue.code === 'invalid_type' && issue.message.endsWith('received undefined')
    ? 'is missing'
    : issue.message.replace(HEADING, '');
}
