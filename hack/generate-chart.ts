// Writes what the chart takes from elsewhere: CRDs and roles, since Helm takes files of its own folder only; the version
// of the schema; the table of its values.
import { copyFileSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseDocument, Scalar } from 'yaml';
import { knownSchemaVersion } from '../src/ledger/migrate.ts';
import { renderValuesTable } from './chart-values.ts';

const root = join(import.meta.dirname, '..');
for (const [source, target] of [
  ['k8s/crds', 'charts/longshore/crds'],
  ['k8s/rbac', 'charts/longshore/files/rbac'],
] as const) {
  const folder = join(root, target);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const file of globSync(join(root, source, '*.yaml'))) copyFileSync(file, join(folder, basename(file)));
}

// The Job that migrates is named by the version of the schema.
const chartFile = join(root, 'charts/longshore/Chart.yaml');
const chart = parseDocument(readFileSync(chartFile, 'utf8'));
const version = new Scalar(String(await knownSchemaVersion()));
version.type = Scalar.QUOTE_SINGLE;
chart.setIn(['annotations', 'longshore.dev/schema-version'], version);
writeFileSync(chartFile, chart.toString({ lineWidth: 0 }));

const readmeFile = join(root, 'charts/longshore/README.md');
const readme = readFileSync(readmeFile, 'utf8');
const values = readFileSync(join(root, 'charts/longshore/values.yaml'), 'utf8');
const table = renderValuesTable(values);
writeFileSync(
  readmeFile,
  readme.replace(/(?<=<!-- values -->\n)[\s\S]*?(?=<!-- end of values -->)/, () => table),
);
