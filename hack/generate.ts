// Writes every generated file. Each is committed, and `make verify` fails when one differs from its source.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const GENERATORS = [
  'generate-crds.ts',
  'generate-openapi.ts',
  'generate-config-docs.ts',
  'generate-chart.ts',
];

for (const name of GENERATORS) {
  const script = fileURLToPath(new URL(name, import.meta.url));
  execFileSync(process.execPath, [script], { stdio: 'inherit' });
  process.stdout.write(`Ran hack/${name}\n`);
}
