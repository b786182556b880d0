/**
 * The part of OpenAPI v3 that a structural schema of Kubernetes may use. Nothing else can be said, so nothing is lost
 * on the way into a CustomResourceDefinition.
 */
export interface JsonSchema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  description?: string;
  format?: string;
  enum?: readonly string[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  items?: JsonSchema;
  minItems?: number;
  maxItems?: number;
  properties?: Record<string, JsonSchema>;
  required?: readonly string[];
  minProperties?: number;
  maxProperties?: number;
  additionalProperties?: JsonSchema;
  anyOf?: readonly JsonSchema[];
  'x-kubernetes-preserve-unknown-fields'?: true;
  'x-kubernetes-int-or-string'?: true;
  'x-kubernetes-list-type'?: 'map' | 'set' | 'atomic';
  'x-kubernetes-list-map-keys'?: readonly string[];
  'x-kubernetes-validations'?: readonly Rule[];
}

/** A rule in CEL. `message` is what the user reads: it says what to do. */
export interface Rule {
  rule: string;
  message: string;
  /** Where the mistake is, relative to the rule's node, such as `.timeZone`. */
  fieldPath?: string;
}

/** The schema of a `V`. The phantom type ties it to the TypeScript type that the controller reads. */
export interface Schema<out V> {
  readonly json: JsonSchema;
  readonly as?: V;
}

/** A property that may be absent. */
export interface Optional<out V> {
  readonly optional: Schema<V>;
}

/** One entry for each property of `T`: optional where `T` says so, and nowhere else. */
export type Properties<T> = {
  [K in keyof T]-?: Record<never, never> extends Pick<T, K>
    ? Optional<Exclude<T[K], undefined>>
    : Schema<T[K]>;
};

interface Described {
  description?: string;
  rules?: readonly Rule[];
}

export function optional<V>(schema: Schema<V>): Optional<V> {
  return { optional: schema };
}

/** An object of exactly these properties; the API server refuses or prunes others. */
export function object<T>(properties: Properties<T>, options: Described = {}): Schema<T> {
  const entries = Object.entries<Schema<unknown> | Optional<unknown>>(properties);
  const required = entries.filter(([, property]) => !('optional' in property)).map(([name]) => name);
  return {
    json: {
      ...described(options),
      type: 'object',
      ...(required.length > 0 ? { required } : {}),
      properties: Object.fromEntries(
        entries.map(([name, property]) => [
          name,
          'optional' in property ? property.optional.json : property.json,
        ]),
      ),
    },
  };
}

export function text(options: Described & { min?: number; max: number; pattern?: string }): Schema<string> {
  return {
    json: {
      ...described(options),
      type: 'string',
      ...(options.min === undefined ? {} : { minLength: options.min }),
      maxLength: options.max,
      ...(options.pattern === undefined ? {} : { pattern: options.pattern }),
    },
  };
}

/** One of a few words. */
export function choice<const V extends string>(values: readonly V[], options: Described = {}): Schema<V> {
  return { json: { ...described(options), type: 'string', enum: values } };
}

/** A time of RFC 3339. */
export function time(description: string): Schema<string> {
  return { json: { description, type: 'string', format: 'date-time', maxLength: 64 } };
}

export function int(options: Described & { min: number; max: number }): Schema<number> {
  const bits = options.max > 2_147_483_647 ? 'int64' : 'int32';
  return {
    json: {
      ...described(options),
      type: 'integer',
      format: bits,
      minimum: options.min,
      maximum: options.max,
    },
  };
}

export function bool(description: string, rules?: readonly Rule[]): Schema<boolean> {
  return {
    json: { ...described({ description, ...(rules === undefined ? {} : { rules }) }), type: 'boolean' },
  };
}

/** A number or a text; the quantities of Kubernetes. */
export function quantity(description?: string): Schema<string | number> {
  return {
    json: {
      ...described(description === undefined ? {} : { description }),
      anyOf: [{ type: 'integer' }, { type: 'string' }],
      pattern: String.raw`^\d+(\.\d+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$`,
      maxLength: 32,
      'x-kubernetes-int-or-string': true,
    },
  };
}

/**
 * An object of any shape, all of whose edits a rule on its parent can see, as `dyn(self).x == dyn(oldSelf).x`.
 * With `type: object` CEL compares only the number of keys and the values of keys on both sides, so that a renamed key
 * passes; without a type it compares the whole. The bounds that nothing can meet say `object` in the type's place: they
 * let objects and, of all else, only `true` and `false` through.
 */
export function opaqueObject(
  options: Described & { maxProperties: number },
): Schema<Record<string, unknown>> {
  return {
    json: {
      ...described(options),
      maxProperties: options.maxProperties,
      pattern: String.raw`^\b\B(an object, such as {"address": "0x1"})$`,
      minItems: 1,
      maxItems: 0,
      minimum: 1,
      maximum: 0,
      'x-kubernetes-preserve-unknown-fields': true,
    },
  };
}

/** An object of any shape: the API server keeps it as it is and sees nothing of it. */
export function untyped(options: Described & { maxProperties?: number }): Schema<Record<string, unknown>> {
  return {
    json: {
      ...described(options),
      type: 'object',
      ...(options.maxProperties === undefined ? {} : { maxProperties: options.maxProperties }),
      'x-kubernetes-preserve-unknown-fields': true,
    },
  };
}

/** A map of text to `V`. Keys can only be bounded by a rule. */
export function map<V>(value: Schema<V>, options: Described & { max: number }): Schema<Record<string, V>> {
  return {
    json: {
      ...described(options),
      type: 'object',
      maxProperties: options.max,
      additionalProperties: value.json,
    },
  };
}

/** A list; with `key` its items are told apart by that property, so that two appliers can own one item each. */
export function list<V>(
  item: Schema<V>,
  options: Described & { min?: number; max: number; key?: keyof V & string },
): Schema<V[]> {
  return {
    json: {
      ...described(options),
      type: 'array',
      ...(options.min === undefined ? {} : { minItems: options.min }),
      maxItems: options.max,
      items: item.json,
      ...(options.key === undefined
        ? { 'x-kubernetes-list-type': 'atomic' }
        : { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [options.key] }),
    },
  };
}

function described({ description, rules }: Described): JsonSchema {
  return {
    ...(description === undefined ? {} : { description }),
    ...(rules === undefined ? {} : { 'x-kubernetes-validations': rules }),
  };
}
