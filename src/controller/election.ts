import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../core/logger.ts';
import type { KubeClient } from '../kube/client.ts';
import { LeaseElector } from '../kube/lease-elector.ts';

/** Who leads: by a Lease in a cluster, by an advisory lock without one. */
export interface Election {
  /** Calls `lead` when leadership is won; its signal aborts when it is lost or the election stops. */
  start(lead: (signal: AbortSignal) => Promise<void>): void;
  /** Stops leading, then gives leadership away. */
  stop(): Promise<void>;
}

export interface LeaseElectionOptions {
  client: KubeClient;
  namespace: string;
  /** Unique to this process. */
  identity: string;
  leaseSeconds: number;
  renewSeconds: number;
  retrySeconds: number;
  logger: Logger;
  /** Leadership was lost while it was used: the process should end and start afresh. */
  onLost(): void;
}

const LEASE_NAME = 'longshore-controller';
const RETRY_MS = 1_000;

/** Election by a Lease, as often as leadership ends by itself. */
export class LeaseElection implements Election {
  readonly #options: LeaseElectionOptions;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: LeaseElectionOptions) {
    this.#options = options;
  }

  start(lead: (signal: AbortSignal) => Promise<void>): void {
    this.#running ??= this.#run(lead);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { client, namespace, identity, leaseSeconds, renewSeconds, retrySeconds, logger, onLost } =
      this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      const elector = new LeaseElector({
        client,
        lease: { namespace, name: LEASE_NAME },
        identity,
        logger,
        leaseDurationMs: leaseSeconds * 1_000,
        renewDeadlineMs: renewSeconds * 1_000,
        retryPeriodMs: retrySeconds * 1_000,
        onStartedLeading: lead,
      });
      try {
        if ((await elector.run(signal)) === 'lost') return onLost();
      } catch (error) {
        if (!signal.aborted) logger.error({ err: error }, 'Leading failed');
      }
      await sleep(RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }
}

/** Lets all lead until the signal aborts, or until one of them fails: none goes on when leadership is given away. */
export async function leadTogether(
  signal: AbortSignal,
  leaders: readonly { lead(signal: AbortSignal): Promise<void> }[],
): Promise<void> {
  const ended = new AbortController();
  const both = AbortSignal.any([signal, ended.signal]);
  const outcomes = await Promise.allSettled(
    leaders.map((leader) => leader.lead(both).finally(() => ended.abort())),
  );
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure !== undefined && !signal.aborted) throw failure.reason;
}
