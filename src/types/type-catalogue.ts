import type { Clock } from '../core/clock.ts';
import { DEFAULT_JOB_TYPE_DEFAULTS, type JobType, type JobTypeDefaults } from '../core/job-type.ts';
import type { KnownType, TypeLookup } from '../core/known-type.ts';
import { setBounded } from '../core/set-bounded.ts';
import { toInputMistakes } from './input-mistakes.ts';
import { compileSchema } from './user-schema.ts';

/** A type of users as whoever stores it gives it: schemas are JSON Schema 2020-12. */
export interface UserType {
  name: string;
  inputSchema: unknown;
  defaults: Partial<JobTypeDefaults>;
}

export interface TypeCatalogueOptions {
  shipped: readonly JobType[];
  /** Looks up a type of a namespace. */
  find(namespace: string, name: string): Promise<UserType | null>;
  clock: Clock;
  /** How long a type of a user is believed without looking again. Defaults to 5 s. */
  cacheMs?: number;
}

const MAX_ENTRIES = 2_000;

/** The types that a namespace may use: the shipped ones from the program, users' own from the ledger. */
export class TypeCatalogue implements TypeLookup {
  readonly #options: Required<TypeCatalogueOptions>;
  readonly #shipped: Map<string, KnownType>;
  readonly #users = new Map<string, { type: KnownType | null; freshUntilMs: number }>();

  constructor(options: TypeCatalogueOptions) {
    this.#options = { cacheMs: 5_000, ...options };
    this.#shipped = new Map(options.shipped.map((type) => [type.name, fromShipped(type)]));
  }

  get(namespace: string, name: string): KnownType | null | Promise<KnownType | null> {
    const shipped = this.#shipped.get(name);
    if (shipped !== undefined) return shipped;
    const cached = this.#users.get(`${namespace}/${name}`);
    if (cached !== undefined && cached.freshUntilMs > this.#options.clock.now()) return cached.type;
    return this.#load(namespace, name);
  }

  async #load(namespace: string, name: string): Promise<KnownType | null> {
    const stored = await this.#options.find(namespace, name);
    const type = stored === null ? null : fromStored(stored);
    const freshUntilMs = this.#options.clock.now() + this.#options.cacheMs;
    setBounded(this.#users, `${namespace}/${name}`, { type, freshUntilMs }, MAX_ENTRIES);
    return type;
  }
}

function fromShipped(type: JobType): KnownType {
  return {
    name: type.name,
    defaults: type.defaults,
    upload: type.upload,
    checkInput: (input, base) => {
      const parsed = type.input.safeParse(input);
      return parsed.success ? { input: parsed.data } : { errors: toInputMistakes(parsed.error.issues, base) };
    },
  };
}

function fromStored(stored: UserType): KnownType {
  const validate = compileSchema(stored.inputSchema);
  return {
    name: stored.name,
    defaults: { ...DEFAULT_JOB_TYPE_DEFAULTS, ...stored.defaults },
    upload: null,
    checkInput: (input, base) => {
      const errors = validate(input, base);
      return errors.length === 0 ? { input } : { errors };
    },
  };
}
