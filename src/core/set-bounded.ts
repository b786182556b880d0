/** Sets an entry of a map that is full at `limit` entries: the one that was set longest ago leaves first. */
export function setBounded<Key, Value>(map: Map<Key, Value>, key: Key, value: Value, limit: number): void {
  if (map.size >= limit) map.delete(map.keys().next().value as Key);
  map.set(key, value);
}
