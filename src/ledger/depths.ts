import type { Queryable } from './database.ts';

/** The unfinished jobs of one type that stand alike. */
export interface Depth {
  namespace: string;
  type: string;
  /** `waiting` for admission, `delayed` until a time, `admitted` into the window, `running` under a lease. */
  state: 'waiting' | 'delayed' | 'admitted' | 'running';
  jobs: number;
}

/** A larger backlog is counted as this: whoever looks at the figure has understood by then, and counting stays cheap. */
const MOST = 100_000;

/** Every index that it counts along holds unfinished jobs alone, so it costs what there is to do, not what was done. */
export async function countDepths(db: Queryable): Promise<Depth[]> {
  const { rows } = await db.query<Depth>(
    `/* depths */ select namespace, type, state, count(*)::integer as jobs from (
       (select namespace, type, 'waiting' as state from jobs
        where finished_at is null and admitted_at is null and not suspended and not delayed limit $1)
       union all
       (select namespace, type, 'delayed' from jobs where delayed and finished_at is null limit $1)
       union all
       (select namespace, type, 'admitted' from jobs where in_window and finished_at is null and lease_until is null limit $1)
       union all
       (select namespace, type, 'running' from jobs where lease_until is not null limit $1)) unfinished
     group by 1, 2, 3`,
    [MOST],
  );
  return rows;
}
