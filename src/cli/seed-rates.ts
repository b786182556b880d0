import type { Database } from '../ledger/database.ts';
import { addTradeInfos, listTradeInfo } from '../ledger/trade-info.ts';
import { SEED_PAIRS } from '../types/exchange-rate/seed.ts';

/** Tracks the usual pairs in a namespace that tracks none. Answers how many were added. */
export async function seedRates(db: Database, namespace: string): Promise<number> {
  const [first] = await listTradeInfo(db, namespace, { limit: 1, after: null });
  if (first !== undefined) return 0;
  return addTradeInfos(
    db,
    SEED_PAIRS.map((pair) => ({ ...pair, namespace, enabled: true })),
  );
}
