import type { HandlerContext } from '../../core/handler.ts';

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

/** One round in the ledger, under the lease of its job: with another lease each call rejects and changes nothing. */
export interface Round {
  /** The pairs that are due and were not dealt with in this round. */
  take(): Promise<DuePair[]>;
  /** Keeps prices, each pair's once a round, however often they are handed in. Answers how many pairs were kept. */
  commit(items: readonly RoundItem[]): Promise<number>;
  /** The round's provider has banned our address for so long: no round of it goes on before that. */
  ban(forMs: number): Promise<void>;
}

export function createRound({ procedure }: Pick<HandlerContext, 'procedure'>): Round {
  return {
    take: async () => (await procedure('take_round', null)) as DuePair[],
    commit: async (items) => (await procedure('commit_round', items)) as number,
    ban: async (forMs) => void (await procedure('ban_round_provider', forMs)),
  };
}
