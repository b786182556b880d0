import { hash } from 'node:crypto';
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { escapePointer } from '../core/json-safety.ts';
import type { InputMistake } from '../core/known-type.ts';
import { setBounded } from '../core/set-bounded.ts';

/** What is wrong with a value by a schema; none when it fits. Pointers begin with `base`. */
export type SchemaValidator = (value: unknown, base: string) => InputMistake[];

const MAX_SCHEMA_BYTES = 32 * 1_024;
const MAX_KNOWN = 500;

/**
 * A validator for a user's JSON Schema (2020-12). Remote references are not followed, and a schema that cannot be used
 * refuses every value with its reason. It stops at the first mistake, so that no input makes it collect errors without end.
 */
export function compileSchema(schema: unknown): SchemaValidator {
  const validate = compiled(schema);
  if (typeof validate === 'string') return refuse(`the type's schema ${validate}`);
  return (value, base) =>
    validate(value) ? [] : (validate.errors ?? []).map((error) => toMistake(error, base));
}

/** Why a JSON Schema cannot be used; null when it can. */
export function schemaMistake(schema: unknown): string | null {
  const validate = compiled(schema);
  return typeof validate === 'string' ? validate : null;
}

/** What became of the schemas that were compiled last, by the SHA-256 of their text: compiling one takes milliseconds. */
const known = new Map<string, ValidateFunction | string>();

/** The validator, or in words what is wrong with the schema. */
function compiled(schema: unknown): ValidateFunction | string {
  const text = JSON.stringify(schema ?? true);
  const key = hash('sha256', text);
  let result = known.get(key);
  if (result === undefined) {
    result = compileText(text);
    setBounded(known, key, result, MAX_KNOWN);
  }
  return result;
}

function compileText(text: string): ValidateFunction | string {
  if (Buffer.byteLength(text) > MAX_SCHEMA_BYTES) return `is larger than ${MAX_SCHEMA_BYTES} bytes`;
  try {
    const ajv = new Ajv2020({
      allErrors: false,
      strict: false,
      validateFormats: false,
      addUsedSchema: false,
    });
    return ajv.compile(JSON.parse(text));
  } catch {
    return 'cannot be used: it is no JSON Schema, or it refers to another document';
  }
}

function refuse(detail: string): SchemaValidator {
  return (_value, base) => [{ pointer: base, detail }];
}

function toMistake(error: ErrorObject, base: string): InputMistake {
  const extra = error.params.additionalProperty ?? error.params.unevaluatedProperty;
  if (typeof extra === 'string') {
    return { pointer: `${base}${error.instancePath}/${escapePointer(extra)}`, detail: 'is not known here' };
  }
  return { pointer: base + error.instancePath, detail: error.message ?? 'does not fit the schema' };
}
