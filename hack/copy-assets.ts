// Puts beside the built JavaScript what the compiler does not know: migrations, the page and the scaler's protocol.
import { cpSync } from 'node:fs';

for (const path of ['ledger/migrations', 'ledger/partitions', 'api/public', 'scaler/external-scaler.proto']) {
  cpSync(new URL(`../src/${path}`, import.meta.url), new URL(`../dist/${path}`, import.meta.url), {
    recursive: true,
  });
}
