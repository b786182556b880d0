// Writes docs/configuration.md from the schema of the configuration.
import { writeFileSync } from 'node:fs';
import { renderReference } from '../src/config/reference.ts';

writeFileSync(new URL('../docs/configuration.md', import.meta.url), renderReference());
