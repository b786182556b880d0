import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A version of hack/versions.env, by the name that it has there. Throws where there is none. */
export function versionOf(name: string): string {
  const text = readFileSync(join(import.meta.dirname, 'versions.env'), 'utf8');
  const version = new RegExp(`^${name}=(\\S+)$`, 'm').exec(text)?.[1];
  if (version === undefined) throw new Error(`hack/versions.env has no ${name}`);
  return version;
}
