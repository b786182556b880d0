/** `metav1.Condition`; times are RFC 3339 with whole seconds. */
export interface Condition {
  /** An adjective or participle, such as `Finished`. */
  type: string;
  status: 'True' | 'False' | 'Unknown';
  /** The generation that was read to come to this conclusion. */
  observedGeneration?: number;
  /** When `status` last changed; not when reason or message did. */
  lastTransitionTime: string;
  /** Stable, CamelCase. */
  reason: string;
  message: string;
}

export type ConditionUpdate = Omit<Condition, 'lastTransitionTime'>;

/**
 * Conditions with `next` in the place of the one of its type, or at the end. Returns the very same array when nothing
 * changed, so that a caller can leave out the write.
 */
export function setCondition(
  conditions: readonly Condition[],
  next: ConditionUpdate,
  nowMs: number,
): readonly Condition[] {
  const index = conditions.findIndex((condition) => condition.type === next.type);
  const before = conditions[index];
  if (before !== undefined && isSame(before, next)) return conditions;
  const lastTransitionTime = before?.status === next.status ? before.lastTransitionTime : toKubeTime(nowMs);
  const condition: Condition = { ...next, lastTransitionTime };
  return before === undefined ? [...conditions, condition] : conditions.with(index, condition);
}

export function findCondition(conditions: readonly Condition[], type: string): Condition | undefined {
  return conditions.find((condition) => condition.type === type);
}

/** Whether a condition is there and true; an absent one is not. */
export function isConditionTrue(conditions: readonly Condition[], type: string): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

/** `metav1.Time`: whole seconds, the only precision that it keeps. */
export function toKubeTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

function isSame(before: Condition, next: ConditionUpdate): boolean {
  return (
    before.status === next.status &&
    before.reason === next.reason &&
    before.message === next.message &&
    before.observedGeneration === next.observedGeneration
  );
}
