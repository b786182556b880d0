import { DEFAULT_JOB_TYPE_DEFAULTS, type JobTypeDefaults } from '../../core/job-type.ts';
import { findUnsafeJson } from '../../core/json-safety.ts';
import {
  MAX_TYPE_SCHEMA_BYTES,
  type PoolType,
  WORKER_POOL_REASONS,
  type WorkerPool,
} from '../../core/kinds/worker-pool.ts';
import type { PoolSettings } from '../../core/pool-manifests/settings.ts';
import {
  type ConnectionBudget,
  findConnectionShortage,
  findTypeConflict,
  type PoolRefusal,
} from '../../core/pool-refusal.ts';
import type { StoredJobType } from '../../ledger/job-types.ts';
import { schemaMistake } from '../../types/user-schema.ts';

/** A type that a pool declares, as the ledger holds it. */
export type DeclaredType = Omit<StoredJobType, 'paused' | 'namespace'>;

/** What a pool is judged by, beside itself. */
export interface JudgeContext {
  /** All pools, this one among them. */
  pools: readonly WorkerPool[];
  isShipped(type: string): boolean;
  /** Whether a type that the pool does not declare is declared for its namespace elsewhere. */
  isDeclared(namespace: string, type: string): Promise<boolean>;
  connections: ConnectionBudget;
  settings: PoolSettings;
}

/** What the API server cannot tell: whether a pool may be as it says, and what it declares. */
export async function judgePool(
  pool: WorkerPool,
  context: JudgeContext,
): Promise<{ refusal: PoolRefusal } | { declares: DeclaredType[] }> {
  const declares: DeclaredType[] = [];
  for (const [index, type] of pool.spec.types.entries()) {
    const refusal = await judgeType(type, `/spec/types/${index}`, pool, context);
    if (refusal !== null) return { refusal };
    if (type.inputSchema !== undefined) declares.push(toDeclared(type));
  }
  const refusal =
    findMissingSetting(context.settings) ??
    findTypeConflict(pool, context.pools) ??
    findConnectionShortage(pool, context.pools, context.connections);
  return refusal === null ? { declares } : { refusal };
}

async function judgeType(
  type: PoolType,
  path: string,
  { metadata: { namespace = '' } }: WorkerPool,
  { isShipped, isDeclared }: JudgeContext,
): Promise<PoolRefusal | null> {
  const { name, inputSchema, resultSchema } = type;
  if (inputSchema === undefined) {
    if (isShipped(name) || (await isDeclared(namespace, name))) return null;
    const message = `${path}: there is no type "${name}"; correct the name, or give the type an inputSchema`;
    return { reason: WORKER_POOL_REASONS.unknownType, message };
  }
  if (isShipped(name)) {
    const message = `${path}: "${name}" is a type that comes with Longshore; leave the inputSchema out, or choose another name`;
    return { reason: WORKER_POOL_REASONS.invalidTypeSchema, message };
  }
  return judgeSchema(inputSchema, `${path}/inputSchema`) ?? judgeSchema(resultSchema, `${path}/resultSchema`);
}

function judgeSchema(schema: unknown, path: string): PoolRefusal | null {
  if (schema === undefined) return null;
  const bytes = Buffer.byteLength(JSON.stringify(schema));
  const mistake =
    bytes > MAX_TYPE_SCHEMA_BYTES
      ? `has ${bytes} bytes as compact JSON, and ${MAX_TYPE_SCHEMA_BYTES} are allowed`
      : (unsafeText(schema) ?? schemaMistake(schema));
  if (mistake === null) return null;
  return { reason: WORKER_POOL_REASONS.invalidTypeSchema, message: `${path}: ${mistake}`.slice(0, 1_024) };
}

/** What PostgreSQL could not keep, such as U+0000 in a text. */
function unsafeText(schema: unknown): string | null {
  const found = findUnsafeJson(schema);
  return found === null ? null : `${found.pointer} ${found.detail}`;
}

function toDeclared({
  name,
  description = '',
  inputSchema,
  resultSchema,
  defaults,
  limits,
}: PoolType): DeclaredType {
  return {
    name,
    description,
    inputSchema,
    resultSchema: resultSchema ?? {},
    defaults: withRoom(defaults ?? {}),
    limits: { maxRunning: limits?.maxRunning ?? null, rate: limits?.rate ?? null },
  };
}

/** A default above the usual most means that the pool allows it. */
function withRoom(defaults: Partial<JobTypeDefaults>): Partial<JobTypeDefaults> {
  const { retries, maxRetries } = { ...DEFAULT_JOB_TYPE_DEFAULTS, ...defaults };
  return { ...defaults, maxRetries: defaults.maxRetries ?? Math.max(maxRetries, retries) };
}

function findMissingSetting({ workerPostgresUrl, redisUrl }: PoolSettings): PoolRefusal | null {
  const missing = [
    workerPostgresUrl === '' ? 'LONGSHORE_WORKER_POSTGRES_URL' : '',
    redisUrl === '' ? 'LONGSHORE_REDIS_URL' : '',
  ].filter((name) => name !== '');
  if (missing.length === 0) return null;
  const message = `The controller does not know how workers log in: set its ${missing.join(' and ')}`;
  return { reason: WORKER_POOL_REASONS.configMissing, message };
}
