import { readdirSync } from 'node:fs';
import type { RateProvider } from './provider.ts';

/** `.ts` in the repository, `.js` in what is built of it. */
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const NAME = /^[a-z]([-a-z0-9]{0,29}[a-z0-9])?$/;
const SHIPPED = new URL('./providers/', import.meta.url);

/** The names of all providers: those of the files in their folder. */
export function listProviders(folder = SHIPPED): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(EXTENSION))
    .map((file) => file.slice(0, -EXTENSION.length))
    .filter((name) => NAME.test(name))
    .toSorted();
}

export const PROVIDER_NAMES: readonly string[] = listProviders();

/** The provider of a name; null when there is no such file. */
export async function loadProvider(name: string, folder = SHIPPED): Promise<RateProvider | null> {
  if (!listProviders(folder).includes(name)) return null;
  const module = (await import(new URL(`${name}${EXTENSION}`, folder).href)) as { provider?: RateProvider };
  if (module.provider === undefined)
    throw new TypeError(`The file of the provider ${name} exports no provider`);
  return module.provider;
}
