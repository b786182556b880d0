/** What V8 hands a reviver beside key and value: the text that a primitive was read from. */
type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown;

const keepNumbers: Reviver = (_key, value, { source }) =>
  typeof value === 'number' ? (source ?? String(value)) : value;

/** JSON with each number as its own text: `1e999` and a price of thirty digits are what the sender wrote. Throws a SyntaxError. */
export function parseExactJson(text: string): unknown {
  return JSON.parse(text, keepNumbers as (key: string, value: unknown) => unknown);
}
