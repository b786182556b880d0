import type { Clock } from '../core/clock.ts';
import { DEFAULT_JOB_TYPE_DEFAULTS, type JobType, type JobTypeDefaults } from '../core/job-type.ts';
import type { StoredJobType } from '../ledger/job-types.ts';
import type { ProblemError } from './problem.ts';
import { SchemaCompiler } from './user-schema.ts';
import { toProblemErrors } from './validation.ts';

/** A type as the API uses it: its defaults, and the judgement of an input. */
export interface KnownType {
  name: string;
  defaults: JobTypeDefaults;
  /** The input with the schema's defaults filled in, or what is wrong with it (pointers begin with `base`). */
  checkInput(input: unknown, base: string): { input: unknown } | { errors: ProblemError[] };
}

export interface TypeCatalogueOptions {
  shipped: readonly JobType[];
  /** Looks up a type of a namespace. */
  find(namespace: string, name: string): Promise<StoredJobType | null>;
  clock: Clock;
  /** How long a type of a user is believed without looking again. Defaults to 5 s. */
  cacheMs?: number;
}

const MAX_ENTRIES = 2_000;

/** The types that a namespace may use: the shipped ones from the program, users' own from the ledger. */
export class TypeCatalogue {
  readonly #options: Required<TypeCatalogueOptions>;
  readonly #shipped: Map<string, KnownType>;
  readonly #compiler = new SchemaCompiler();
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
    const type = stored === null ? null : fromStored(stored, this.#compiler);
    if (this.#users.size >= MAX_ENTRIES) this.#users.delete(this.#users.keys().next().value as string);
    this.#users.set(`${namespace}/${name}`, {
      type,
      freshUntilMs: this.#options.clock.now() + this.#options.cacheMs,
    });
    return type;
  }
}

function fromShipped(type: JobType): KnownType {
  return {
    name: type.name,
    defaults: type.defaults,
    checkInput: (input, base) => {
      const parsed = type.input.safeParse(input);
      return parsed.success ? { input: parsed.data } : { errors: toProblemErrors(parsed.error.issues, base) };
    },
  };
}

function fromStored(stored: StoredJobType, compiler: SchemaCompiler): KnownType {
  const validate = compiler.compile(stored.inputSchema);
  return {
    name: stored.name,
    defaults: { ...DEFAULT_JOB_TYPE_DEFAULTS, ...stored.defaults },
    checkInput: (input, base) => {
      const errors = validate(input, base);
      return errors.length === 0 ? { input } : { errors };
    },
  };
}
