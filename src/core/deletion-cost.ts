/** Tells a ReplicaSet which pods to take first when it has to take some: those of lower cost. Absent is 0. */
export const DELETION_COST_ANNOTATION = 'controller.kubernetes.io/pod-deletion-cost';

/** Below what a pod has that nobody has looked at yet: that one may be at work. */
const IDLE_COST = -100;
const STEPS = 4;

export interface CostedPod {
  name: string;
  /** The annotation as it is. */
  cost: string | undefined;
}

/** The pod in which a worker runs: its id is `<host name>-<process>-<random>`, and a pod's host name is its own. */
export function podOfWorker(workerId: string): string {
  return workerId.replace(/-\d+-[0-9a-f]{8}$/, '');
}

/**
 * The costs that pods should have and have not: idle ones go first, and of the others those with less to lose. In four steps,
 * so that each job that starts or ends is no write.
 *
 * @param running - Running jobs by worker id.
 * @param capacity - Jobs that a pod runs at most.
 */
export function planDeletionCosts(
  pods: readonly CostedPod[],
  running: ReadonlyMap<string, number>,
  capacity: number,
): { name: string; cost: string }[] {
  const jobs = new Map<string, number>();
  for (const [worker, count] of running) {
    const pod = podOfWorker(worker);
    jobs.set(pod, (jobs.get(pod) ?? 0) + count);
  }
  return pods.flatMap(({ name, cost: before }) => {
    const cost = String(costOf(jobs.get(name) ?? 0, capacity));
    return cost === before ? [] : [{ name, cost }];
  });
}

function costOf(jobs: number, capacity: number): number {
  if (jobs === 0) return IDLE_COST;
  const share = Math.min(1, jobs / Math.max(1, capacity));
  return (Math.ceil(share * STEPS) * 100) / STEPS;
}
