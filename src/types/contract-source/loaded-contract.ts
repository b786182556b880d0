import type { SourceFile } from './source-files.ts';
import type { Contract } from './type.ts';

/** What a provider knows of one contract, before its files are named and stored. Strings are as the provider sent them. */
export interface LoadedContract extends Omit<Contract, 'files' | 'address'> {
  files: SourceFile[];
  /** Whether the provider calls it a proxy. */
  isProxy: boolean;
  /** Of a proxy; null when the provider does not know it. */
  implementation: string | null;
}
