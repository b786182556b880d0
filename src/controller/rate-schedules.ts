import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import { nextFire } from '../core/schedule.ts';
import type { Database } from '../ledger/database.ts';
import { deleteKeptSchedules, getSchedule, putSchedule } from '../ledger/schedules.ts';
import { listTrackedProviders } from '../ledger/trade-info.ts';
import { PROVIDER_NAMES } from '../types/exchange-rate/provider-folder.ts';
import { exchangeRateType } from '../types/exchange-rate/type.ts';

export interface RateSchedulesOptions {
  db: Database;
  clock: Clock;
  logger: Logger;
}

/**
 * Keeps a schedule for each provider that enabled pairs of a namespace name: one job a round, as often as its most frequent
 * pair is due. Level-based: what was written into the table, by whomever, is seen at the next look.
 */
export class RateSchedules {
  readonly #options: RateSchedulesOptions;
  /** Complained of already: a name that has no file, a schedule that somebody else has. */
  readonly #told = new Set<string>();

  constructor(options: RateSchedulesOptions) {
    this.#options = options;
  }

  async runOnce(): Promise<{ schedules: number; ended: number; refused: number }> {
    const { db } = this.#options;
    const kept: { namespace: string; name: string }[] = [];
    let refused = 0;
    for (const { namespace, provider, everySeconds } of await listTrackedProviders(db)) {
      const key = { namespace, name: `rates-${provider}` };
      if (!PROVIDER_NAMES.includes(provider)) {
        refused += 1;
        this.#tell({ namespace, provider }, 'Found pairs of a provider that is not known');
        continue;
      }
      const outcome = await this.#put(key, { provider, everySeconds });
      if (outcome !== 'owned') kept.push(key);
      else {
        refused += 1;
        this.#tell({ ...key }, 'Found the schedule of a provider taken by another owner');
      }
    }
    const ended = await deleteKeptSchedules(db, exchangeRateType.name, kept);
    return { schedules: kept.length, ended, refused };
  }

  async #put(
    key: { namespace: string; name: string },
    { provider, everySeconds }: { provider: string; everySeconds: number },
  ): Promise<'kept' | 'owned'> {
    const { db, clock } = this.#options;
    const spec = {
      every: `${everySeconds}s`,
      overlap: 'skip',
      catchUp: { policy: 'none', limit: 1 },
      suspend: false,
      job: { type: exchangeRateType.name, input: { provider } },
    };
    const found = await getSchedule(db, key.namespace, key.name);
    if (found?.keptBy === exchangeRateType.name && isDeepStrictEqual(found.spec, spec)) return 'kept';
    const nextFireAtMs = nextFire({ everySeconds }, clock.now());
    const { outcome } = await putSchedule(db, {
      ...{ ...key, spec, resourceUid: null, keptBy: exchangeRateType.name, nextFireAtMs },
    });
    return outcome === 'owned' ? 'owned' : 'kept';
  }

  #tell(fields: object, message: string): void {
    const key = `${message} ${JSON.stringify(fields)}`;
    if (this.#told.has(key)) return;
    if (this.#told.size >= 1_000) this.#told.clear();
    this.#told.add(key);
    this.#options.logger.warn(fields, message);
  }
}
