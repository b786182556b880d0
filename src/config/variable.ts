import { z } from 'zod';

/** What the reference and the error messages say about a variable, beside its schema. */
export interface VariableFacts {
  /** Name of the environment variable. */
  env: string;
  /** Other names that are read when `env` is not set; the first one set wins. */
  aliases?: readonly string[];
  description: string;
  /** As it would be written in the environment. Absent: not set. */
  default?: string;
  /** What is allowed, in words. */
  allowed: string;
  unit?: string;
  /** The value is never shown, in errors neither. */
  secret?: boolean;
}

/** Facts of each field of a group, kept beside the zod schemas that validate them. */
export const variables: z.core.$ZodRegistry<VariableFacts> = z.registry<VariableFacts>();

type Facts = Omit<VariableFacts, 'allowed'>;

function declare<Schema extends z.ZodType>(schema: Schema, facts: VariableFacts): Schema {
  variables.add(schema, facts);
  return schema;
}

/** Text without further rules; empty when not set. */
export function text(facts: Facts & { allowed?: string; pattern?: RegExp }) {
  const { pattern, allowed = 'text', ...rest } = facts;
  const schema = z
    .string()
    .refine((value) => pattern === undefined || value === '' || pattern.test(value), 'is malformed');
  return declare(schema, { ...rest, allowed });
}

/** A URL of one of the protocols (without colon); empty when not set. */
export function url(facts: Facts, protocols: readonly string[]) {
  const isUrl = (value: string) => {
    const parsed = URL.parse(value);
    return parsed !== null && parsed.host !== '' && protocols.includes(parsed.protocol.slice(0, -1));
  };
  const schema = z.string().refine((value) => value === '' || isUrl(value), 'is no such URL');
  return declare(schema, {
    ...facts,
    allowed: `a URL that starts with ${protocols.map((name) => `${name}://`).join(' or ')}`,
  });
}

/** A whole number within bounds, both included. */
export function integer(facts: Facts, min: number, max: number) {
  return declare(decimal(/^-?\d{1,15}$/, min, max), {
    ...facts,
    allowed: `a whole number from ${min} to ${max}`,
  });
}

/** A number within bounds, both included, with or without decimals. */
export function number(facts: Facts, min: number, max: number) {
  return declare(decimal(/^-?\d{1,15}(\.\d{1,9})?$/, min, max), {
    ...facts,
    allowed: `a number from ${min} to ${max}`,
  });
}

function decimal(pattern: RegExp, min: number, max: number) {
  return z
    .string()
    .refine(
      (value) => pattern.test(value) && Number(value) >= min && Number(value) <= max,
      'is out of bounds',
    )
    .transform(Number);
}

export function flag(facts: Facts) {
  const schema = z.enum(['true', 'false']).transform((value) => value === 'true');
  return declare(schema, { ...facts, allowed: '`true` or `false`' });
}

export function choice<const Values extends readonly [string, ...string[]]>(facts: Facts, values: Values) {
  return declare(z.enum(values), { ...facts, allowed: values.map((value) => `\`${value}\``).join(', ') });
}

/** Names separated by commas; blanks around them do not count. */
export function list(facts: Facts & { allowed: string; pattern: RegExp }) {
  const { pattern, ...rest } = facts;
  const schema = z
    .string()
    .transform((value) =>
      value
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== ''),
    )
    .refine((items) => items.every((item) => pattern.test(item)), 'has a malformed item');
  return declare(schema, rest);
}
