/** A mistake of the caller: shown without a stack. */
export class UsageError extends Error {
  override name = 'UsageError';
}
