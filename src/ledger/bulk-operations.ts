import type { JobStatus } from '../core/job.ts';
import type { Queryable } from './database.ts';

/** Which jobs of the namespace a bulk operation takes: those that fit every condition. */
export interface BulkFilter {
  type?: string;
  status?: JobStatus;
  label?: { key: string; value: string };
  /** Only jobs with an id below this one: those accepted after the request are not meant. */
  untilId: string;
}

/** The most jobs that one operation changes. */
export const MAX_BULK_JOBS = 10_000;

export interface BulkOperation {
  id: string;
  namespace: string;
  kind: 'cancel' | 'retry';
  filter: BulkFilter;
  state: 'running' | 'done';
  /** Jobs that the filter has found so far, and those of them that were changed. */
  matched: number;
  changed: number;
  createdAtMs: number;
  finishedAtMs: number | null;
}

interface BulkRow {
  id: string;
  namespace: string;
  kind: 'cancel' | 'retry';
  filter: BulkFilter;
  state: 'running' | 'done';
  matched: number;
  changed: number;
  created_at: Date;
  finished_at: Date | null;
}

const COLUMNS = 'id, namespace, kind, filter, state, matched, changed, created_at, finished_at';

/** Writes down what is to be done and wakes the controller, which does it. */
export async function createBulkOperation(
  db: Queryable,
  operation: Pick<BulkOperation, 'id' | 'namespace' | 'kind' | 'filter'>,
): Promise<BulkOperation> {
  const { rows } = await db.query<BulkRow>(
    `/* bulk-new */ with made as (
       insert into bulk_operations (id, namespace, kind, filter) values ($1, $2, $3, $4) returning ${COLUMNS})
     select made.*, pg_notify('longshore_work', '') from made`,
    [operation.id, operation.namespace, operation.kind, JSON.stringify(operation.filter)],
  );
  return toBulkOperation(rows[0] as BulkRow);
}

export async function getBulkOperation(
  db: Queryable,
  namespace: string,
  id: string,
): Promise<BulkOperation | null> {
  const { rows } = await db.query<BulkRow>(
    `/* bulk */ select ${COLUMNS} from bulk_operations where id = $1 and namespace = $2`,
    [id, namespace],
  );
  return rows[0] === undefined ? null : toBulkOperation(rows[0]);
}

function toBulkOperation(row: BulkRow): BulkOperation {
  return {
    id: row.id,
    namespace: row.namespace,
    kind: row.kind,
    filter: row.filter,
    state: row.state,
    matched: row.matched,
    changed: row.changed,
    createdAtMs: row.created_at.getTime(),
    finishedAtMs: row.finished_at?.getTime() ?? null,
  };
}
