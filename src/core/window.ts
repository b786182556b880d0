/** A type of a namespace as admission sees it. */
export interface WindowDemand {
  type: string;
  /** Its admitted, unfinished jobs: what its share is measured against. */
  open: number;
  /** Due jobs of it that wait and hold no place. */
  waiting: number;
  /** … of which have a raised priority. */
  raised: number;
  /** The most of it that the window should hold: what it can start in a minute. */
  share: number;
}

/** A namespace's window: how many places it has and how many are taken, by finished jobs too while QueueJobs show them. */
export interface WindowPlaces {
  size: number;
  used: number;
}

/** A tenth of the window is for raised priority alone. */
export function reservedPlaces(size: number): number {
  return Math.ceil(size / 10);
}

/** A type is worth at least this many places, however slow it is. */
export const MIN_SHARE = 10;

/** Jobs that a type can start in a minute, from what is known of it. */
export function typeShare(known: {
  capacity: number;
  startedLastMinute: number;
  ratePerSecond: number | null;
}): number {
  const wanted = Math.max(MIN_SHARE, known.capacity * 2, known.startedLastMinute * 2);
  if (known.ratePerSecond === null) return wanted;
  return Math.max(MIN_SHARE, Math.min(wanted, Math.ceil(known.ratePerSecond * 60)));
}

/**
 * Shares the free places of one namespace's window: round the types, one place each a round, none beyond its share. A tenth
 * of the window is kept for raised priority, so that a flood of ordinary work cannot shut it out.
 *
 * @returns how many of each type to admit; types that get none are left out.
 */
export function planAdmission(window: WindowPlaces, demands: readonly WindowDemand[]): Map<string, number> {
  const reserve = reservedPlaces(window.size);
  const allotted = new Map<string, number>();
  const raised = demands.map((d) => ({ type: d.type, want: Math.min(d.raised, d.share - d.open) }));
  // Raised jobs come first within their type, so places given here and below add up.
  let free = shareOut(Math.max(0, window.size - window.used), raised, allotted);
  free = Math.max(0, free - reserve);
  const rest = demands.map((d) => {
    const given = allotted.get(d.type) ?? 0;
    return { type: d.type, want: Math.min(d.waiting, d.share - d.open) - given };
  });
  shareOut(free, rest, allotted);
  return allotted;
}

/** Gives `free` places to the types in turn; answers what is left. */
function shareOut(
  free: number,
  wants: { type: string; want: number }[],
  allotted: Map<string, number>,
): number {
  let open = wants.filter((w) => w.want > 0);
  let left = free;
  while (left > 0 && open.length > 0) {
    const each = Math.max(1, Math.floor(left / open.length));
    for (const entry of open) {
      const given = Math.min(each, entry.want, left);
      entry.want -= given;
      left -= given;
      if (given > 0) allotted.set(entry.type, (allotted.get(entry.type) ?? 0) + given);
    }
    open = open.filter((w) => w.want > 0);
  }
  return left;
}
