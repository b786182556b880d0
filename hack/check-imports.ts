// Checks who imports whom under src/; see "Who imports whom" in CONTRIBUTING.md.
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findViolations, type SourceFile } from './import-rules.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const files: SourceFile[] = globSync('src/**/*.ts', { cwd: root })
  .toSorted()
  .map((path) => ({ path, text: readFileSync(`${root}/${path}`, 'utf8') }));
if (files.length === 0) throw new Error('There are no files under src/');

const violations = findViolations(files);
for (const { path, line, imported, rule } of violations) {
  process.stderr.write(`${path}:${line} imports ${imported}: ${rule}\n`);
}
process.stdout.write(`Imports: ${files.length} files checked, ${violations.length} violations\n`);
if (violations.length > 0) process.exitCode = 1;
