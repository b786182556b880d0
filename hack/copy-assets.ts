// Puts beside the built JavaScript what the compiler does not know: migrations and the page.
import { cpSync } from 'node:fs';

for (const folder of ['ledger/migrations', 'api/public']) {
  cpSync(new URL(`../src/${folder}`, import.meta.url), new URL(`../dist/${folder}`, import.meta.url), {
    recursive: true,
  });
}
