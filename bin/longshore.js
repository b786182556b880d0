#!/usr/bin/env node
// Plain JavaScript that any Node.js of the last years can read: an older one gets told so, instead of a syntax error.
import { existsSync } from 'node:fs';

const NEEDED = 24;

if (Number.parseInt(process.versions.node, 10) < NEEDED) {
  console.error(
    `longshore needs Node.js ${NEEDED} or newer; this is ${process.versions.node} (${process.execPath}).
Install it from https://nodejs.org. In a clone of the repository "make setup" has done so: run "npx longshore" there.`,
  );
  process.exit(1);
}

// A clone runs the sources; the package has only what was built of them.
const source = new URL('../src/cli/main.ts', import.meta.url);
await import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href);
