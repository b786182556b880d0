import type { Database } from '../ledger/database.ts';
import { listServedTypes } from '../ledger/pools.ts';

export interface ServedTypesOptions {
  db: Database;
  /** A type is served while a worker for it was seen within this time. Defaults to 45 s. */
  servedSeconds?: number;
}

/** Which types have workers, read now and then for whoever asks often. */
export class ServedTypes {
  readonly #options: Required<ServedTypesOptions>;
  #types: ReadonlySet<string> = new Set();

  constructor(options: ServedTypesOptions) {
    this.#options = { servedSeconds: 45, ...options };
  }

  has(namespace: string, type: string): boolean {
    return this.#types.has(`${namespace}/${type}`);
  }

  /** Answers how many there are. */
  async refresh(): Promise<number> {
    const types = await listServedTypes(this.#options.db, this.#options.servedSeconds);
    this.#types = new Set(types.map(({ namespace, type }) => `${namespace}/${type}`));
    return this.#types.size;
  }
}
