import { createHash } from 'node:crypto';
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { escapePointer } from '../core/json-safety.ts';
import type { InputMistake } from '../core/known-type.ts';

/** What is wrong with a value by a schema; none when it fits. Pointers begin with `base`. */
export type SchemaValidator = (value: unknown, base: string) => InputMistake[];

const MAX_SCHEMA_BYTES = 32 * 1_024;
const MAX_COMPILED = 500;

/**
 * Validators for users' JSON Schemas (2020-12), each text compiled once. Remote references are not followed, and a schema
 * that cannot be used refuses every value with its reason. A validator stops at the first mistake, so that no input makes
 * it collect errors without end.
 */
export class SchemaCompiler {
  readonly #compiled = new Map<string, SchemaValidator>();

  compile(schema: unknown): SchemaValidator {
    const text = JSON.stringify(schema ?? true);
    const key = createHash('sha256').update(text).digest('base64');
    const known = this.#compiled.get(key);
    if (known !== undefined) return known;
    const validator = compile(text);
    if (this.#compiled.size >= MAX_COMPILED)
      this.#compiled.delete(this.#compiled.keys().next().value as string);
    this.#compiled.set(key, validator);
    return validator;
  }
}

/** Why a JSON Schema cannot be used; null when it can. */
export function schemaMistake(schema: unknown): string | null {
  const compiled = compileText(JSON.stringify(schema ?? true));
  return typeof compiled === 'string' ? compiled : null;
}

function compile(text: string): SchemaValidator {
  const validate = compileText(text);
  if (typeof validate === 'string') return refuse(`the type's schema ${validate}`);
  return (value, base) =>
    validate(value) ? [] : (validate.errors ?? []).map((error) => toMistake(error, base));
}

/** The validator, or in words what is wrong with the schema. */
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
