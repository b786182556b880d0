// Copies the CRDs and the roles into the chart: Helm takes files of its own folder only.
import { copyFileSync, globSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';

const root = join(import.meta.dirname, '..');
for (const [source, target] of [
  ['k8s/crds', 'charts/longshore/crds'],
  ['k8s/rbac', 'charts/longshore/templates/rbac'],
] as const) {
  const folder = join(root, target);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const file of globSync(join(root, source, '*.yaml'))) copyFileSync(file, join(folder, basename(file)));
}
