import type { UniqueKey } from '../core/job.ts';
import type { Queryable } from './database.ts';

/** The job that a key stands for, or null. A key lives on after its time until it is swept or taken again. */
export async function findKeyedJobId(
  db: Queryable,
  namespace: string,
  scope: UniqueKey['scope'],
  key: string,
): Promise<string | null> {
  const { rows } = await db.query<{ job_id: string }>(
    `/* unique-key */ select job_id from unique_keys where namespace = $1 and scope = $2 and key = $3`,
    [namespace, scope, key],
  );
  return rows[0]?.job_id ?? null;
}
