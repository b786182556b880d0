/** The most readings that one job judges. */
export const MAX_RANGE_READINGS = 1_000;
/** How long a reading waits for others to share its job with. */
export const MAX_RANGE_WAIT_MS = 1_000;

/** Readings that one statement stored. */
export interface ReadingBatch {
  id: string;
  namespace: string;
  readings: number;
  ageMs: number;
}

/**
 * Which batches make a range, those of a namespace in their order: a range is cut when the next batch does not fit any
 * more, or when its oldest reading has waited long enough. Batches that are in no range wait for the next round.
 */
export function planRanges(batches: readonly ReadingBatch[]): ReadingBatch[][] {
  const ranges: ReadingBatch[][] = [];
  for (const ofNamespace of Map.groupBy(batches, ({ namespace }) => namespace).values()) {
    let open: ReadingBatch[] = [];
    let readings = 0;
    for (const batch of ofNamespace) {
      if (readings + batch.readings > MAX_RANGE_READINGS && open.length > 0) {
        ranges.push(open);
        open = [];
        readings = 0;
      }
      open.push(batch);
      readings += batch.readings;
    }
    if (readings >= MAX_RANGE_READINGS || open.some(({ ageMs }) => ageMs >= MAX_RANGE_WAIT_MS))
      ranges.push(open);
  }
  return ranges;
}
