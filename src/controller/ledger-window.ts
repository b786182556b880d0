import { type Allotment, admitJobs } from '../ledger/admission.ts';
import type { Database } from '../ledger/database.ts';
import { releaseFinished } from '../ledger/window-releases.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Window } from './window-port.ts';

/** The window without a cluster: an admitted job goes straight onto its queue. */
export class LedgerWindow implements Window {
  readonly #db: Database;
  readonly #dispatcher: Dispatcher;

  constructor(options: { db: Database; dispatcher: Dispatcher }) {
    this.#db = options.db;
    this.#dispatcher = options.dispatcher;
  }

  async admit(allotments: readonly Allotment[]): Promise<number> {
    const jobs = await this.#dispatcher.mark(() => admitJobs(this.#db, allotments, { dispatch: true }));
    await this.#dispatcher.enqueue(jobs);
    return jobs.length;
  }

  /** A finished job holds a place here only if a QueueJob showed it, before the cluster was taken away. */
  async makeRoom(namespace: string, wanted: number, least: number): Promise<number> {
    return (await releaseFinished(this.#db, { namespace, wanted, least })).length;
  }
}
