import { planAdmission, reservedPlaces, typeShare, type WindowDemand } from '../core/window.ts';
import {
  type Allotment,
  countWaiting,
  countWindow,
  releaseDelayed,
  type WindowUse,
} from '../ledger/admission.ts';
import type { Database } from '../ledger/database.ts';
import { listTypeRates } from '../ledger/job-types.ts';
import { listServedTypes, type ServedType } from '../ledger/pools.ts';
import type { Window } from './window-port.ts';

export interface AdmissionOptions {
  db: Database;
  window: Window;
  /** Live jobs of one namespace. Defaults to 1,000. */
  windowSize?: number;
  /** A type is served while a worker for it was seen within this time. Defaults to 45 s. */
  servedSeconds?: number;
}

/** Served types and rates change slowly: while something is served they are read at most this often. */
const SERVED_TTL_MS = 1_000;

/** A demand with the waiting jobs that hold a place already. */
interface PlacedDemand extends WindowDemand {
  placed: number;
}

interface Key {
  namespace: string;
  type: string;
}

const keyOf = ({ namespace, type }: Key): string => `${namespace}/${type}`;

/** Fills the window from the ledger: what is due, unsuspended and served, while there is room. */
export class Admission {
  readonly #options: Required<AdmissionOptions>;
  readonly #departures = new DepartureMeter();
  #served: { readAtMs: number; types: ServedType[]; rates: Map<string, number> } | undefined;

  constructor(options: AdmissionOptions) {
    this.#options = { windowSize: 1_000, servedSeconds: 45, ...options };
  }

  /** Admits as much as there is room for. Answers how many jobs were admitted. */
  async runOnce(signal: AbortSignal): Promise<number> {
    const { db, window, windowSize } = this.#options;
    await releaseDelayed(db, 1_000);
    const served = await this.#readServed();
    if (served.types.length === 0) return 0;
    const [waiting, uses] = await Promise.all([countWaiting(db, served.types, windowSize), countWindow(db)]);
    this.#departures.observe(uses);
    if (waiting.length === 0) return 0;

    const allotments: Allotment[] = [];
    for (const [namespace, ofNamespace] of Map.groupBy(waiting, (w) => w.namespace)) {
      const ofWindow = uses.filter((use) => use.namespace === namespace);
      const demands = ofNamespace.map(({ type, waiting, placed, raised }): PlacedDemand => {
        const key = keyOf({ namespace, type });
        return {
          type,
          open: ofWindow.find((use) => use.type === type)?.open ?? 0,
          waiting: waiting - placed,
          placed,
          raised,
          share: typeShare({
            capacity: served.types.find((s) => keyOf(s) === key)?.capacity ?? 0,
            startedLastMinute: this.#departures.lastMinute(key),
            ratePerSecond: served.rates.get(key) ?? served.rates.get(keyOf({ namespace: '', type })) ?? null,
          }),
        };
      });
      allotments.push(...(await this.#allot(namespace, { uses: ofWindow, demands }, signal)));
    }
    const admitted = await window.admit(allotments, signal);
    for (const { namespace, type, count } of allotments)
      this.#departures.arrived(keyOf({ namespace, type }), count);
    return admitted;
  }

  async #allot(
    namespace: string,
    { uses, demands }: { uses: readonly WindowUse[]; demands: readonly PlacedDemand[] },
    signal: AbortSignal,
  ): Promise<Allotment[]> {
    const { window, windowSize: size } = this.#options;
    const used = uses.reduce((sum, use) => sum + use.live, 0);
    const open = uses.reduce((sum, use) => sum + use.open, 0);
    const wanted = demands.reduce((sum, d) => sum + Math.max(0, Math.min(d.waiting, d.share - d.open)), 0);
    const missing = (places: number) =>
      places === 0 ? 0 : Math.max(0, used + places + reservedPlaces(size) - size);
    // Applied QueueJobs that have finished stay as long as half of the window works.
    const least = missing(Math.min(wanted, Math.max(0, Math.floor(size / 2) - open)));
    const freed = missing(wanted) > 0 ? await window.makeRoom(namespace, missing(wanted), least, signal) : 0;
    const plan = planAdmission({ size, used: used - freed }, demands);
    return demands.flatMap(({ type, placed, share, open }) => {
      const places = plan.get(type) ?? 0;
      // A job that holds a place already needs no other, but its type's share counts for it too.
      const count = Math.min(places + placed, share - open);
      return count > 0 ? [{ namespace, type, count, places }] : [];
    });
  }

  async #readServed(): Promise<{ types: ServedType[]; rates: Map<string, number> }> {
    const now = performance.now();
    if (
      this.#served === undefined ||
      this.#served.types.length === 0 ||
      now - this.#served.readAtMs > SERVED_TTL_MS
    ) {
      const [types, rates] = await Promise.all([
        listServedTypes(this.#options.db, this.#options.servedSeconds),
        listTypeRates(this.#options.db),
      ]);
      this.#served = { readAtMs: now, types, rates: new Map(rates.map((r) => [keyOf(r), r.perSecond])) };
    }
    return this.#served;
  }
}

/**
 * How many jobs of each type left the window in the last minute, which is how many of them were started and ended. Known
 * from what was admitted and what is left; a new leader starts from nothing and learns within seconds.
 */
class DepartureMeter {
  readonly #types = new Map<string, { live: number; arrived: number; buckets: Map<number, number> }>();

  observe(uses: readonly (Key & { open: number })[]): void {
    const second = Math.floor(performance.now() / 1_000);
    const live = new Map(uses.map((use) => [keyOf(use), use.open]));
    for (const [key, state] of this.#types) {
      const left = state.live + state.arrived - (live.get(key) ?? 0);
      if (left > 0) state.buckets.set(second, (state.buckets.get(second) ?? 0) + left);
      state.live = live.get(key) ?? 0;
      state.arrived = 0;
      for (const bucket of state.buckets.keys()) if (bucket < second - 60) state.buckets.delete(bucket);
    }
    for (const [key, count] of live) if (!this.#types.has(key)) this.#types.set(key, newState(count));
  }

  arrived(key: string, count: number): void {
    const state = this.#types.get(key) ?? newState(0);
    state.arrived += count;
    this.#types.set(key, state);
  }

  lastMinute(key: string): number {
    let sum = 0;
    for (const count of this.#types.get(key)?.buckets.values() ?? []) sum += count;
    return sum;
  }
}

function newState(live: number): { live: number; arrived: number; buckets: Map<number, number> } {
  return { live, arrived: 0, buckets: new Map() };
}
