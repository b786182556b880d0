import type { Clock } from '../core/clock.ts';
import { isFinal, type Job } from '../core/job.ts';
import { setBounded } from '../core/set-bounded.ts';
import type { Database } from '../ledger/database.ts';
import { getJob, getJobs } from '../ledger/jobs.ts';
import { viewJob } from './job-view.ts';

/** Keeps views of jobs, at most for a while; every call may come to nothing. */
export interface JobViewCache {
  /** The JSON text, or null when there is none or the cache does not answer at once. */
  get(namespace: string, id: string): Promise<string | null>;
  /** Kept only when no higher version is there. */
  put(namespace: string, id: string, view: { version: number; final: boolean; json: string }): void;
}

export interface JobReaderOptions {
  db: Database;
  cache: JobViewCache | null;
  clock: Clock;
}

/** How long after a read a change of the job is put into the cache by itself. */
const WATCH_MS = 5_000;
const MAX_WATCHED = 20_000;

/** Reads single jobs: from the cache, else from the ledger. */
export class JobReader {
  readonly #options: JobReaderOptions;
  /** Unfinished jobs that were read lately, with when and whose: those whose changes somebody is polling for. */
  readonly #watched = new Map<string, { namespace: string; untilMs: number }>();

  constructor(options: JobReaderOptions) {
    this.#options = options;
  }

  /** The job as JSON text, or null when the namespace has no such job. */
  async readJson(namespace: string, id: string): Promise<string | null> {
    const cached = (await this.#options.cache?.get(namespace, id)) ?? null;
    if (cached !== null) {
      if (cached.includes('"finishedAt":null')) this.#watch(namespace, id);
      return cached;
    }
    // Watched before it is read: a change in between is then seen by one or the other.
    if (this.#options.cache !== null) this.#watch(namespace, id);
    const job = await getJob(this.#options.db, namespace, id);
    if (job === null) {
      this.#watched.delete(id);
      return null;
    }
    return this.remember(job);
  }

  /** Puts a job that was just read into the cache; answers its JSON. */
  remember(job: Job): string {
    const json = JSON.stringify(viewJob(job));
    const final = isFinal(job.status);
    this.#options.cache?.put(job.namespace, job.id, { version: job.version, final, json });
    if (final) this.#watched.delete(job.id);
    return json;
  }

  /** To be called with the ids that changed: polls see the end at once instead of when the entry expires. */
  async onChanges(ids: readonly string[]): Promise<void> {
    const now = this.#options.clock.now();
    const wanted = ids.filter((id) => (this.#watched.get(id)?.untilMs ?? 0) >= now);
    if (wanted.length === 0) return;
    for (const job of await getJobs(this.#options.db, wanted)) this.remember(job);
  }

  #watch(namespace: string, id: string): void {
    const untilMs = this.#options.clock.now() + WATCH_MS;
    const watch = this.#watched.get(id);
    if (watch !== undefined) {
      watch.untilMs = untilMs;
      return;
    }
    setBounded(this.#watched, id, { namespace, untilMs }, MAX_WATCHED);
  }
}
