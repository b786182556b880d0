import type { JobType, JobTypeDefaults } from './job-type.ts';

/** What is wrong with an input, and where, as a JSON pointer. */
export interface InputMistake {
  pointer: string;
  detail: string;
}

/** A job type as whoever accepts jobs uses it: its defaults, and the judgement of an input. */
export interface KnownType {
  name: string;
  defaults: JobTypeDefaults;
  upload: JobType['upload'];
  /** The input with the schema's defaults filled in, or what is wrong with it (pointers begin with `base`). */
  checkInput(input: unknown, base: string): { input: unknown } | { errors: InputMistake[] };
}

/** Why a job of this type cannot be without a file; null when the type needs none. */
export function refuseWithoutUpload({ upload }: KnownType, pointer: string): InputMistake | null {
  return upload === null ? null : { pointer, detail: `needs a file, which ${upload} brings` };
}

/** The types that a namespace may use. */
export interface TypeLookup {
  get(namespace: string, name: string): KnownType | null | Promise<KnownType | null>;
}
