import type { Queryable } from './database.ts';

/** The delivery under which a round is carried out. */
export interface RoundJob {
  id: string;
  lease: number;
}

/** A pair that a round has to ask for. */
export interface DuePair {
  id: number;
  base: string;
  quote: string;
  /** What the provider calls it, when the row says so. */
  symbol: string | null;
}

/** What became of a pair: a price (decimal text) of this age, or why there is none. */
export type RoundItem = { id: number; price: string; ageMs: number } | { id: number; error: string };

/**
 * Rounds of exchange rates as a worker may see them. Everything is done under the lease of the round's job: with another one
 * each call rejects with code 55000 and changes nothing.
 */
export class RoundLedger {
  readonly #db: Queryable;
  readonly #secret: string;

  constructor(db: Queryable, secret: string) {
    this.#db = db;
    this.#secret = secret;
  }

  /** The pairs that are due and were not dealt with in this round. */
  async take(job: RoundJob): Promise<DuePair[]> {
    const { rows } = await this.#db.query<DuePair>(
      '/* round */ select * from longshore.take_round($1, $2, $3)',
      [this.#secret, job.id, job.lease],
    );
    return rows;
  }

  /** Keeps prices, each pair's once a round, however often they are handed in. Answers how many pairs were kept. */
  async commit(job: RoundJob, items: readonly RoundItem[]): Promise<number> {
    const { rows } = await this.#db.query<{ kept: number }>(
      '/* round-commit */ select longshore.commit_round($1, $2, $3, $4) as kept',
      [this.#secret, job.id, job.lease, JSON.stringify(items)],
    );
    return rows[0]?.kept ?? 0;
  }

  /** The round's provider has banned our address for so long: no round of it goes on before that. */
  async ban(job: RoundJob, forMs: number): Promise<void> {
    await this.#db.query('/* round-ban */ select longshore.ban_round_provider($1, $2, $3, $4)', [
      this.#secret,
      job.id,
      job.lease,
      forMs,
    ]);
  }
}
