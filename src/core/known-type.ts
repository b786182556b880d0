import type { JobTypeDefaults } from './job-type.ts';

/** What is wrong with an input, and where, as a JSON pointer. */
export interface InputMistake {
  pointer: string;
  detail: string;
}

/** A job type as whoever accepts jobs uses it: its defaults, and the judgement of an input. */
export interface KnownType {
  name: string;
  defaults: JobTypeDefaults;
  /** The input with the schema's defaults filled in, or what is wrong with it (pointers begin with `base`). */
  checkInput(input: unknown, base: string): { input: unknown } | { errors: InputMistake[] };
}

/** The types that a namespace may use. */
export interface TypeLookup {
  get(namespace: string, name: string): KnownType | null | Promise<KnownType | null>;
}
