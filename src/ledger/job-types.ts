import type { JobTypeDefaults, JobTypeLimits } from '../core/job-type.ts';
import type { Queryable } from './database.ts';

/** A type as the ledger holds it; namespace '' is a type of every namespace. Schemas are JSON Schema 2020-12. */
export interface StoredJobType {
  namespace: string;
  name: string;
  description: string;
  inputSchema: unknown;
  resultSchema: unknown;
  defaults: Partial<JobTypeDefaults>;
  limits: JobTypeLimits;
  paused: boolean;
}

interface JobTypeRow {
  namespace: string;
  name: string;
  definition: Pick<StoredJobType, 'description' | 'inputSchema' | 'resultSchema' | 'defaults'>;
  max_running: number | null;
  rate_count: number | null;
  rate_per_seconds: number | null;
  budget: string | null;
  paused: boolean;
}

const COLUMNS = 'namespace, name, definition, max_running, rate_count, rate_per_seconds, budget, paused';

/** Writes a type's definition and limits; its pause and the time of its next start stay as they are. */
export async function putJobType(db: Queryable, type: Omit<StoredJobType, 'paused'>): Promise<void> {
  const { namespace, name, limits, ...definition } = type;
  await db.query(
    `insert into job_types as t (namespace, name, definition, max_running, rate_count, rate_per_seconds, budget)
     values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (namespace, name) do update set definition = excluded.definition, max_running = excluded.max_running,
       rate_count = excluded.rate_count, rate_per_seconds = excluded.rate_per_seconds, budget = excluded.budget, updated_at = now()
     where (t.definition, t.max_running, t.rate_count, t.rate_per_seconds, t.budget) is distinct from
       (excluded.definition, excluded.max_running, excluded.rate_count, excluded.rate_per_seconds, excluded.budget)`,
    [
      namespace,
      name,
      JSON.stringify(definition),
      limits.maxRunning,
      limits.rate?.count ?? null,
      limits.rate?.perSeconds ?? null,
      limits.budget ?? null,
    ],
  );
}

/** The type that a name means in a namespace: its own before the one of all. */
export async function findJobType(
  db: Queryable,
  namespace: string,
  name: string,
): Promise<StoredJobType | null> {
  const { rows } = await db.query<JobTypeRow>(
    `/* job-type */ select ${COLUMNS} from job_types where name = $2 and namespace in ($1, '')
     order by namespace desc limit 1`,
    [namespace, name],
  );
  return rows[0] === undefined ? null : toStoredJobType(rows[0]);
}

/** The types that a namespace may use, by name. */
export async function listJobTypes(db: Queryable, namespace: string): Promise<StoredJobType[]> {
  const { rows } = await db.query<JobTypeRow>(
    `/* job-types */ select distinct on (name) ${COLUMNS} from job_types where namespace in ($1, '')
     order by name, namespace desc limit 1000`,
    [namespace],
  );
  return rows.map(toStoredJobType);
}

/** The starts a second that types with a rate are allowed. */
export async function listTypeRates(
  db: Queryable,
): Promise<{ namespace: string; type: string; perSecond: number }[]> {
  const { rows } = await db.query<{ namespace: string; type: string; perSecond: number }>(
    `/* type-rates */ select namespace, name as type, rate_count::double precision / rate_per_seconds as "perSecond"
     from job_types where rate_count is not null`,
  );
  return rows;
}

function toStoredJobType(row: JobTypeRow): StoredJobType {
  return {
    ...row.definition,
    namespace: row.namespace,
    name: row.name,
    limits: {
      maxRunning: row.max_running,
      rate: row.rate_count === null ? null : { count: row.rate_count, perSeconds: row.rate_per_seconds ?? 1 },
      ...(row.budget === null ? {} : { budget: row.budget }),
    },
    paused: row.paused,
  };
}
