import { DEFAULT_JOB_TYPE_DEFAULTS } from '../../src/core/job-type.ts';
import type { TypeLookup } from '../../src/core/known-type.ts';

/** Types of these names that take any input but the text `bad`; `develop` works on a file. */
export function knownTypes(...names: string[]): TypeLookup {
  return {
    get: (_namespace, name) =>
      names.includes(name)
        ? {
            name,
            defaults: DEFAULT_JOB_TYPE_DEFAULTS,
            upload: name === 'develop' ? 'POST /v1/films' : null,
            checkInput: (input, base) =>
              input === 'bad' ? { errors: [{ pointer: base, detail: 'is bad' }] } : { input },
          }
        : null,
  };
}
