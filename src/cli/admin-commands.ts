import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { parse } from 'yaml';
import { z } from 'zod';
import { DEFAULT_JOB_TYPE_DEFAULTS as DEFAULTS, isJobTypeName } from '../core/job-type.ts';
import {
  API_KEY_SCOPES,
  type ApiKeyScope,
  createApiKey,
  generateApiKey,
  listApiKeys,
  revokeApiKey,
} from '../ledger/api-keys.ts';
import { auditLedger, type Finding } from '../ledger/audit.ts';
import { putJobType } from '../ledger/job-types.ts';
import { putPool } from '../ledger/pools.ts';
import { SHIPPED_TYPES } from '../types/registry.ts';
import { createTable } from './table.ts';
import { UsageError } from './usage-error.ts';
import { withLedger } from './with-ledger.ts';

/** What an operator does to the ledger. */
export function addAdminCommands(program: Command): void {
  addApiKeyCommands(program);
  program
    .command('audit')
    .description('check the ledger against what must always hold; exits with 1 when something is broken')
    .option('--json', 'print the findings as JSON')
    .action(async (options: { json?: boolean }) => {
      const findings = await withLedger((db) => auditLedger(db));
      if (options.json) console.log(JSON.stringify(findings, null, 2));
      else console.log(renderFindings(findings));
      if (findings.some((finding) => finding.verdict === 'broken')) process.exitCode = 1;
    });
  program
    .command('pool')
    .description('manage pools of workers')
    .command('create <name>')
    .description('make a pool, or give one new types and a new secret; prints the secret, which is not kept')
    .option('-n, --namespace <namespace>', 'namespace that the pool works for', 'default')
    .option(
      '-t, --types <types>',
      'comma-separated job types',
      SHIPPED_TYPES.map((type) => type.name).join(','),
    )
    .addOption(new Option('--secret <secret>', 'use this secret').env('LONGSHORE_WORKER_POOL_SECRET'))
    .action(async (name: string, options: { namespace: string; types: string; secret?: string }) => {
      const secret = options.secret ?? randomBytes(32).toString('base64url');
      const types = options.types.split(',').filter((type) => type !== '');
      await withLedger((db) => putPool(db, { namespace: options.namespace, name, types }, secret));
      console.log(secret);
    });
  program
    .command('type')
    .description('manage job types')
    .command('apply <file>')
    .description(
      'declare a type of your own: YAML or JSON with name, description, inputSchema, resultSchema, limits',
    )
    .option('-n, --namespace <namespace>', 'namespace that may use the type', 'default')
    .action(async (file: string, options: { namespace: string }) => {
      const type = parseType(await readFile(file, 'utf8'), file);
      await withLedger((db) => putJobType(db, { namespace: options.namespace, ...type }));
      console.log(`Applied type ${type.name} in namespace ${options.namespace}`);
    });
}

function addApiKeyCommands(program: Command): void {
  const apiKey = program.command('api-key').description('manage API keys');
  apiKey
    .command('create <name>')
    .description('make a key; prints it, and it is not kept')
    .option('-n, --namespace <namespace>', 'namespace of its jobs', 'default')
    .option('-s, --scopes <scopes>', `comma-separated: ${API_KEY_SCOPES.join(', ')}`, 'submit,read')
    .option('--expires-in-days <days>', 'days until it expires; never when absent')
    .action(async (name: string, options: { namespace: string; scopes: string; expiresInDays?: string }) => {
      const scopes = options.scopes.split(',').map((scope) => {
        if (!(API_KEY_SCOPES as readonly string[]).includes(scope)) {
          throw new UsageError(`There is no scope "${scope}"; there are ${API_KEY_SCOPES.join(', ')}`);
        }
        return scope as ApiKeyScope;
      });
      const days = options.expiresInDays === undefined ? null : Number(options.expiresInDays);
      if (days !== null && !(days > 0)) throw new UsageError('--expires-in-days takes a number above 0');
      const expiresAtMs = days === null ? null : Date.now() + days * 86_400_000;
      const { token } = await withLedger((db) =>
        createApiKey(db, { name, namespace: options.namespace, scopes, expiresAtMs }),
      );
      console.log(token);
    });
  apiKey
    .command('generate')
    .description('print a new key without making it, for a Secret that "migrate --admin-key" reads')
    .action(() => console.log(generateApiKey()));
  apiKey
    .command('list')
    .description('list keys; their secrets are not known')
    .action(async () => {
      const table = createTable(['ID', 'NAME', 'NAMESPACE', 'SCOPES', 'EXPIRES', 'REVOKED']);
      for (const key of await withLedger(listApiKeys)) {
        const day = (ms: number | null) => (ms === null ? '' : new Date(ms).toISOString().slice(0, 10));
        table.push([
          key.id,
          key.name,
          key.namespace,
          key.scopes.join(', '),
          day(key.expiresAtMs),
          day(key.revokedAtMs),
        ]);
      }
      console.log(table.toString());
    });
  apiKey
    .command('revoke <id>')
    .description('make a key useless, within 30 seconds everywhere')
    .action(async (id: string) => {
      if (!(await withLedger((db) => revokeApiKey(db, id)))) throw new UsageError(`There is no key ${id}`);
      console.log(`Revoked ${id}`);
    });
}

function renderFindings(findings: readonly Finding[]): string {
  const table = createTable(['INVARIANT', 'WHAT', 'VERDICT', 'CHECKED', 'BROKEN']);
  for (const { invariant, what, verdict, checked, broken } of findings) {
    table.push([invariant, what, verdict, String(checked), String(broken)]);
  }
  const examples = findings
    .filter((finding) => finding.verdict === 'broken')
    .map(({ invariant, examples: found }) => `${invariant}: ${JSON.stringify(found)}`);
  return [table.toString(), ...examples].join('\n');
}

const MAX_SCHEMA_BYTES = 32 * 1_024;

const schemaShape = z
  .record(z.string(), z.unknown())
  .refine(
    (schema) => Buffer.byteLength(JSON.stringify(schema)) <= MAX_SCHEMA_BYTES,
    `a schema has at most ${MAX_SCHEMA_BYTES} bytes`,
  );

const typeShape = z.strictObject({
  name: z.string().refine(isJobTypeName, 'lower-case letters, digits and "-", at most 63'),
  description: z.string().max(1_000).default(''),
  inputSchema: schemaShape.default({}),
  resultSchema: schemaShape.default({}),
  defaults: z
    .strictObject({
      timeoutSeconds: z.int().min(1).max(86_400).default(DEFAULTS.timeoutSeconds),
      maxTimeoutSeconds: z.int().min(1).max(86_400).default(DEFAULTS.maxTimeoutSeconds),
      retries: z.int().min(0).max(20).default(DEFAULTS.retries),
      maxRetries: z.int().min(0).max(20).default(DEFAULTS.maxRetries),
      backoff: z.strictObject({ baseMs: z.int().min(1), maxMs: z.int().min(1) }).default(DEFAULTS.backoff),
      ttlSecondsAfterFinished: z.int().min(0).default(DEFAULTS.ttlSecondsAfterFinished),
    })
    .default(DEFAULTS),
  limits: z
    .strictObject({
      maxRunning: z.int().min(1).nullable().default(null),
      rate: z
        .strictObject({ count: z.int().min(1), perSeconds: z.int().min(1) })
        .nullable()
        .default(null),
    })
    .default({ maxRunning: null, rate: null }),
});

function parseType(text: string, file: string): z.output<typeof typeShape> {
  const parsed = typeShape.safeParse(parse(text));
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.map((issue) => `  - /${issue.path.join('/')}: ${issue.message}`);
  throw new UsageError(`${file} declares no type:\n${mistakes.join('\n')}`);
}
