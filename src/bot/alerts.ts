import type { Clock } from '../core/clock.ts';
import type { Pair } from '../core/rates/rate.ts';
import type { RateReader } from '../core/rates/rate-reader.ts';
import type { Database } from '../ledger/database.ts';
import { judgeThresholds, queueReports } from '../ledger/subscriptions.ts';
import { priceOn, toPrice } from './wording.ts';

export interface AlertsOptions {
  db: Database;
  rates: RateReader;
  namespace: string;
  clock: Clock;
  /** There is something to send. */
  onQueued(): void;
}

/** Reports of one transaction. */
const REPORTS = 500;

/** Judges subscriptions by the newest rates, and puts what has to be said into the outbox. */
export class Alerts {
  readonly #options: AlertsOptions;
  #judged = 0;

  constructor(options: AlertsOptions) {
    this.#options = options;
  }

  async runOnce(signal: AbortSignal): Promise<{ alerts: number; reports: number }> {
    const { db, rates, namespace, clock, onQueued } = this.#options;
    const board = await rates.board(namespace);
    const priceOf = (pair: Pair) => priceOn(board, pair, clock.now());
    let alerts = 0;
    if (board.version > this.#judged) {
      // A stale price says nothing of where the market is.
      const fresh = (pair: Pair) => {
        const rate = board.find(pair, clock.now());
        return rate === null || rate.stale ? null : toPrice(rate);
      };
      alerts = (await judgeThresholds(db, { namespace, version: board.version }, fresh)) ?? 0;
      this.#judged = board.version;
    }
    let reports = 0;
    for (let queued = REPORTS; queued === REPORTS && !signal.aborted; reports += queued) {
      queued = await queueReports(db, namespace, priceOf, REPORTS);
    }
    if (alerts + reports > 0) onQueued();
    return { alerts, reports };
  }
}
