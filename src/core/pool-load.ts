/** How the pods of a pool scale. */
export interface PoolScale {
  maxReplicas: number;
  /** Jobs that call for one further pod. */
  jobsPerReplica: number;
  /** Running jobs end, no new one starts. */
  paused: boolean;
}

export interface PoolRef {
  namespace: string;
  name: string;
}

/** How a pool stands, as status, metrics and the scaler show it. */
export interface PoolLoad extends PoolRef, PoolScale {
  /** What the pool should be, in jobs; see {@link poolLoad}. */
  load: number;
  /** Live leases. */
  active: number;
  /** Unsuspended, due jobs that have no lease, admitted or not; counted up to a cap. */
  queued: number;
  /** How long the oldest of them has been due; 0 when none waits. */
  oldestWaitingSeconds: number;
}

/** Calls that come evenly spaced. */
export interface Pace {
  /** 0 is no limit. */
  perSecond: number;
  /** Milliseconds until the next call may be made; 0 and below is now. */
  nextInMs: number;
  /** Calls that are left of the day; null is no limit. */
  left: number | null;
}

/** What a type of a pool asks for, and what holds it back. */
export interface TypeDemand {
  /** Live leases. */
  active: number;
  /** Unsuspended jobs without a lease that are due within a pod's start time, admitted or not; counted up to a cap. */
  runnable: number;
  /** No job of the type starts. */
  paused: boolean;
  /** Jobs that may run at once; null is no limit. */
  maxRunning: number | null;
  /** The type's own rate of starts; null is no limit. */
  rate: Pace | null;
  /** The provider's budget that a run takes a call of; null is no limit. */
  budget: Pace | null;
}

/**
 * What a pool should be, in jobs: those that run, and those that could. The pods wanted are this by the jobs per replica,
 * rounded up, so a pool whose jobs could run is never at zero. Work that waits for a limit adds nothing: a pod could only
 * wait with it.
 *
 * @param startMs - How long a pod takes to start: a limit that opens until then is open for it.
 */
export function poolLoad(scale: PoolScale, types: readonly TypeDemand[], startMs: number): number {
  const active = types.reduce((sum, type) => sum + type.active, 0);
  if (scale.paused) return active;
  const wanted = types.reduce((sum, type) => sum + startable(type, startMs), 0);
  return active + Math.min(wanted, Math.max(0, poolCapacity(scale) - active));
}

/** The jobs that all of a pool's pods take together. */
export function poolCapacity({ maxReplicas, jobsPerReplica }: PoolScale): number {
  return maxReplicas * jobsPerReplica;
}

/** Jobs of a type that its limits let start until a pod would be there. */
function startable(
  { active, runnable, paused, maxRunning, rate, budget }: TypeDemand,
  startMs: number,
): number {
  if (paused) return 0;
  return Math.min(
    runnable,
    maxRunning === null ? Number.POSITIVE_INFINITY : Math.max(0, maxRunning - active),
    callsWithin(rate, startMs),
    callsWithin(budget, startMs),
  );
}

function callsWithin(pace: Pace | null, ms: number): number {
  if (pace === null) return Number.POSITIVE_INFINITY;
  const openMs = ms - Math.max(0, pace.nextInMs);
  if (openMs < 0) return 0;
  const spaced =
    pace.perSecond > 0 ? 1 + Math.floor((openMs / 1_000) * pace.perSecond) : Number.POSITIVE_INFINITY;
  return Math.min(spaced, pace.left ?? Number.POSITIVE_INFINITY);
}
