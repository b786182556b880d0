import { describe, expect, it } from 'vitest';
import { findViolations } from './import-rules.ts';

function violationsOf(path: string, text: string) {
  return findViolations([{ path, text }]).map(({ line, imported }) => `${line} ${imported}`);
}

describe('the dependency rule', () => {
  it.each([
    ['src/api/app.ts', "import { Worker } from '../worker/worker.ts';", 'src/worker/worker.ts'],
    ['src/worker/worker.ts', "import type { App } from '../api/app.ts';", 'src/api/app.ts'],
    ['src/controller/a.ts', "export * from '../api/app.ts';", 'src/api/app.ts'],
    ['src/bot/a.ts', "import '../controller/main.ts';", 'src/controller/main.ts'],
    ['src/core/a.ts', "import { jobs } from '../ledger/jobs.ts';", 'src/ledger/jobs.ts'],
    ['src/core/a.ts', "import { readFile } from 'node:fs/promises';", 'node:fs/promises'],
    ['src/core/a.ts', "import pino from 'pino';", 'pino'],
    ['src/queue/a.ts', "import { jobs } from '../ledger/jobs.ts';", 'src/ledger/jobs.ts'],
    ['src/queue/a.ts', "import type { Config } from '../config/config.ts';", 'src/config/config.ts'],
    ['src/api/app.ts', "import type { Config } from '../config/config.ts';", 'src/config/config.ts'],
    ['src/api/a.ts', "import pg from 'pg';", 'pg'],
    ['src/api/a.ts', "import { Redis } from 'ioredis';", 'ioredis'],
    ['src/api/a.ts', "import { Queue } from 'bullmq';", 'bullmq'],
    ['src/worker/a.ts', "import express from 'express';", 'express'],
    ['src/controller/a.ts', "const k = await import('@kubernetes/client-node');", '@kubernetes/client-node'],
    ['src/types/x/type.ts', "import { run } from './run.ts';", 'src/types/x/run.ts'],
    ['src/types/contract-source/type.ts', "import sharp from 'sharp';", 'sharp'],
    ['src/types/x/run.ts', "import { keccak_256 } from '@noble/hashes/sha3.js';", '@noble/hashes'],
    ['src/types/x/run.ts', "import { jobs } from '../../ledger/jobs.ts';", 'src/ledger/jobs.ts'],
    ['src/new/a.ts', "import { a } from '../core/a.ts';", 'src/core/a.ts'],
  ])('refuses in %s: %s', (path, text, imported) => {
    expect(violationsOf(path, text)).toContain(`1 ${imported}`);
  });

  it.each([
    ['src/api/app.ts', "import { jobs } from '../ledger/jobs.ts';"],
    ['src/api/main.ts', "import { loadConfig } from '../config/config.ts';"],
    ['src/cli/start.ts', "import { loadConfig } from '../config/config.ts';"],
    ['src/cli/start.ts', "import { startApi } from '../api/main.ts';"],
    ['src/core/a.ts', "import { createHash } from 'node:crypto';"],
    ['src/core/a.ts', "import { z } from 'zod';"],
    ['src/worker/a.ts', "import { Worker } from 'bullmq';"],
    ['src/types/x/run.ts', "import sharp from 'sharp';"],
    ['src/types/contract-source/address.ts', "import { keccak_256 } from '@noble/hashes/sha3.js';"],
    ['src/api/app.test.ts', "import { Worker } from '../worker/worker.ts';"],
  ])('allows in %s: %s', (path, text) => {
    expect(violationsOf(path, text)).toEqual([]);
  });

  it('names the line of an import that spans several', () => {
    const text =
      "import { a } from '../core/a.ts';\nimport {\n  type B,\n  c,\n} from '../worker/c.ts';\nconst d = 'from';\n";
    expect(violationsOf('src/api/app.ts', text)).toEqual(['2 src/worker/c.ts']);
  });

  it('finds a handler that the API reaches by a detour', () => {
    const violations = findViolations([
      { path: 'src/api/app.ts', text: "import { types } from '../types/registry.ts';" },
      { path: 'src/types/registry.ts', text: "import { run } from './x/run.ts';" },
      { path: 'src/worker/main.ts', text: "import { run } from '../types/handlers.ts';" },
      { path: 'src/types/handlers.ts', text: "import { run } from './y/run.ts';" },
    ]);
    expect(violations.map(({ path, imported }) => `${path} ${imported}`)).toEqual([
      'src/types/registry.ts src/types/x/run.ts',
    ]);
  });
});
