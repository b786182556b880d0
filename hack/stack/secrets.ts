import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** Made at the first start, and kept with the data. */
export interface Secrets {
  pool: string;
  /** Of the pool that is for workers of one's own. */
  ownPool: string;
  workerPassword: string;
  webhook: string;
}

/** Reads the secrets of a stack, and makes those that are missing. */
export function readSecrets(file: string): Secrets {
  const secret = () => randomBytes(24).toString('base64url');
  const kept = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Partial<Secrets>) : {};
  const secrets: Secrets = {
    pool: secret(),
    ownPool: secret(),
    workerPassword: secret(),
    webhook: secret(),
    ...kept,
  };
  writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
  return secrets;
}

/** Writes a file that a shell can source and `node --env-file` can read, for the eyes of its owner. */
export function writeEnvironment(file: string, variables: Record<string, string>): void {
  const lines = Object.entries(variables).map(
    ([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`,
  );
  writeFileSync(file, lines.join(''), { mode: 0o600 });
}
