import type { InputMistake } from './known-type.ts';

/** How deep arrays and objects of a request may lie in each other. */
export const MAX_JSON_DEPTH = 32;

const POLLUTING = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * Finds the first thing in parsed JSON that the ledger could not keep exactly, or that is only there to do harm: NUL and
 * lone surrogates (PostgreSQL refuses them), numbers beyond what a double holds, keys that reach for prototypes, depth.
 * Of duplicate keys the last one holds, as `JSON.parse` has it.
 */
export function findUnsafeJson(value: unknown, pointer = '', depth = 0): InputMistake | null {
  if (typeof value === 'string') return findUnsafeText(value, pointer);
  if (typeof value === 'number') return findUnsafeNumber(value, pointer);
  if (typeof value !== 'object' || value === null) return null;
  if (depth >= MAX_JSON_DEPTH) return { pointer, detail: `nested deeper than ${MAX_JSON_DEPTH} levels` };
  return Array.isArray(value) ? findInArray(value, pointer, depth) : findInObject(value, pointer, depth);
}

function findInArray(values: unknown[], pointer: string, depth: number): InputMistake | null {
  for (let index = 0; index < values.length; index += 1) {
    const found = findUnsafeJson(values[index], `${pointer}/${index}`, depth + 1);
    if (found !== null) return found;
  }
  return null;
}

function findInObject(value: object, pointer: string, depth: number): InputMistake | null {
  for (const [key, child] of Object.entries(value)) {
    const at = `${pointer}/${escapePointer(key)}`;
    if (POLLUTING.has(key)) return { pointer: at, detail: 'a key of this name is not allowed' };
    const found = findUnsafeText(key, at) ?? findUnsafeJson(child, at, depth + 1);
    if (found !== null) return found;
  }
  return null;
}

function findUnsafeText(text: string, pointer: string): InputMistake | null {
  if (text.includes('\0')) return { pointer: pointer.toWellFormed(), detail: 'must not contain U+0000' };
  if (!text.isWellFormed())
    return { pointer: pointer.toWellFormed(), detail: 'must not contain a lone surrogate' };
  return null;
}

function findUnsafeNumber(value: number, pointer: string): InputMistake | null {
  if (Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value))) return null;
  return { pointer, detail: 'this number cannot be kept exactly: send it as text' };
}

/** One step of a JSON pointer (RFC 6901), NUL replaced so that it can be shown. */
export function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1').replaceAll('\0', '\uFFFD');
}

/** A path of keys and indexes as a JSON pointer. */
export function toPointer(path: readonly PropertyKey[]): string {
  return path.map((key) => `/${escapePointer(String(key))}`).join('');
}
