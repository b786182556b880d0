import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../core/logger.ts';
import type { KubeClient } from './client.ts';
import { isAlreadyExists, isConflict, isNotFound } from './kube-api-error.ts';
import { type KubeObject, LEASE, type ObjectRef } from './resource-type.ts';

interface LeaseSpec {
  holderIdentity?: string;
  leaseDurationSeconds?: number;
  acquireTime?: string;
  renewTime?: string;
  leaseTransitions?: number;
}

export interface Lease extends KubeObject {
  spec?: LeaseSpec;
}

export interface LeaseElectorOptions {
  client: KubeClient;
  lease: Required<Pick<ObjectRef, 'name'>> & { namespace: string };
  /** Unique to this process; a restarted one is another candidate. */
  identity: string;
  logger: Logger;
  /** Work of the leader; must have stopped when it settles. Its end gives the Lease back. */
  onStartedLeading(signal: AbortSignal): Promise<void>;
  onStoppedLeading?(reason: 'released' | 'lost'): void;
  /** A silent leader is replaced after this. Whole seconds. Defaults to 15,000. */
  leaseDurationMs?: number;
  /** A leader that could not renew for this long stops. Defaults to 10,000. */
  renewDeadlineMs?: number;
  /** Between two tries; candidates add up to a fifth. Defaults to 2,000. */
  retryPeriodMs?: number;
}

const JITTER = 1.2;

/**
 * Leader election by a Lease. It makes one leader likely, not certain: whatever the leader does must be safe when two do
 * it. After `lost` the process should exit non-zero and start afresh.
 */
export class LeaseElector {
  readonly #options: LeaseElectorOptions;
  readonly #timing: { leaseDurationMs: number; renewDeadlineMs: number; retryPeriodMs: number };
  readonly #logger: Logger;
  #record: Lease | undefined;
  #recordKey = '';
  /** By our own monotonic clock: the times in the record come from clocks of others. */
  #recordSeenAt = 0;
  #isLeader = false;

  constructor(options: LeaseElectorOptions) {
    const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryPeriodMs = 2_000 } = options;
    if (
      !(leaseDurationMs > renewDeadlineMs && renewDeadlineMs > retryPeriodMs * JITTER && retryPeriodMs > 0)
    ) {
      throw new RangeError('A Lease needs leaseDurationMs > renewDeadlineMs > retryPeriodMs × 1.2 > 0');
    }
    if (leaseDurationMs % 1_000 !== 0) throw new RangeError('leaseDurationMs must be whole seconds');
    if (options.identity === '') throw new RangeError('identity must not be empty');
    this.#options = options;
    this.#timing = { leaseDurationMs, renewDeadlineMs, retryPeriodMs };
    this.#logger = options.logger.child({ lease: options.lease.name, identity: options.identity });
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  /** Who leads as far as we know. */
  get holder(): string | undefined {
    return this.#record?.spec?.holderIdentity || undefined;
  }

  /**
   * Waits for the Lease, leads, and resolves when that is over: `released` after the signal or the end of the work, `lost`
   * when the Lease could not be renewed. Rejects when the work does, after giving the Lease back.
   */
  async run(signal: AbortSignal): Promise<'released' | 'lost'> {
    if (!(await this.#acquire(signal))) return 'released';
    this.#isLeader = true;
    this.#logger.info({}, 'Lease acquired');
    const leading = new AbortController();
    const stop = (): void => leading.abort();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const ended = new AbortController();
    const work = Promise.resolve()
      .then(() => this.#options.onStartedLeading(leading.signal))
      .finally(() => ended.abort());
    // Renewed until the work has really stopped: an early release would let two lead at once.
    const renewal = this.#renew(ended.signal).then((kept) => {
      if (!kept) this.#lose(leading);
      return kept;
    });
    const [outcome, kept] = await Promise.all([
      work.then(
        () => undefined,
        (error: unknown) => ({ error }),
      ),
      renewal,
    ]);
    signal.removeEventListener('abort', stop);
    this.#isLeader = false;
    if (kept) await this.#release();
    this.#options.onStoppedLeading?.(kept ? 'released' : 'lost');
    if (outcome !== undefined && kept) throw outcome.error;
    return kept ? 'released' : 'lost';
  }

  async #acquire(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      try {
        if (await this.#tryHold(AbortSignal.any([signal, AbortSignal.timeout(this.#timing.renewDeadlineMs)])))
          return true;
      } catch (error) {
        if (!signal.aborted) this.#logger.warn({ err: error }, 'Lease could not be acquired');
      }
      const delayMs = this.#timing.retryPeriodMs * (1 + (JITTER - 1) * Math.random());
      await sleep(delayMs, undefined, { signal }).catch(() => undefined);
    }
    return false;
  }

  /** @returns Whether the Lease was ours until `ended`. */
  async #renew(ended: AbortSignal): Promise<boolean> {
    const { renewDeadlineMs, retryPeriodMs } = this.#timing;
    let renewedAt = performance.now();
    while (!ended.aborted) {
      const left = renewDeadlineMs - (performance.now() - renewedAt);
      if (left <= 0) return false;
      await sleep(Math.min(retryPeriodMs, left), undefined, { signal: ended }).catch(() => undefined);
      if (ended.aborted) break;
      const startedAt = performance.now();
      const remaining = Math.max(1, Math.ceil(renewDeadlineMs - (startedAt - renewedAt)));
      try {
        if (!(await this.#tryHold(AbortSignal.any([ended, AbortSignal.timeout(remaining)]))))
          return ended.aborted;
        renewedAt = startedAt;
      } catch (error) {
        if (!ended.aborted) this.#logger.warn({ err: error }, 'Lease could not be renewed');
      }
    }
    return true;
  }

  #lose(leading: AbortController): void {
    this.#isLeader = false;
    this.#logger.error({}, 'Lease lost');
    leading.abort();
  }

  /** One try to take or renew. @returns Whether we hold the Lease; a candidate that came second is false, not an error. */
  async #tryHold(signal: AbortSignal): Promise<boolean> {
    // While leading the last answer is current, so that a renewal costs one call, and a conflict tells of a rival.
    if (!this.#isLeader || this.#record === undefined) await this.#read(signal);
    try {
      return await this.#write(signal);
    } catch (error) {
      if (isAlreadyExists(error)) return false;
      if (!isConflict(error)) throw error;
      if (!this.#isLeader) return false;
    }
    // Our own earlier write may have got through without its answer: read, and judge by the holder.
    await this.#read(signal);
    return this.holder === this.#options.identity ? this.#write(signal) : false;
  }

  async #write(signal: AbortSignal): Promise<boolean> {
    const { client, identity, lease } = this.#options;
    const record = this.#record;
    const now = microTime(Date.now());
    const spec: LeaseSpec = {
      holderIdentity: identity,
      leaseDurationSeconds: this.#timing.leaseDurationMs / 1_000,
      renewTime: now,
    };
    if (record === undefined) {
      const first: Lease = {
        metadata: { ...lease },
        spec: { ...spec, acquireTime: now, leaseTransitions: 0 },
      };
      this.#observe(await client.create<Lease>(LEASE, first, { signal }));
      return true;
    }
    const isOurs = this.holder === identity;
    const isFresh = performance.now() - this.#recordSeenAt < this.#timing.leaseDurationMs;
    if (!isOurs && this.holder !== undefined && isFresh) return false;
    const transitions = (record.spec?.leaseTransitions ?? 0) + (isOurs ? 0 : 1);
    const acquireTime = isOurs ? (record.spec?.acquireTime ?? now) : now;
    const next = { ...record, spec: { ...record.spec, ...spec, acquireTime, leaseTransitions: transitions } };
    this.#observe(await client.replace<Lease>(LEASE, next, { signal }));
    return true;
  }

  async #read(signal: AbortSignal): Promise<void> {
    try {
      this.#observe(await this.#options.client.get<Lease>(LEASE, this.#options.lease, { signal }));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#record = undefined;
    }
  }

  #observe(record: Lease): void {
    const key = JSON.stringify(record.spec);
    if (key !== this.#recordKey) {
      this.#recordKey = key;
      this.#recordSeenAt = performance.now();
    }
    this.#record = record;
  }

  /** An empty holder and a second's duration: the next candidate need not wait. */
  async #release(): Promise<void> {
    const { client, lease, identity } = this.#options;
    try {
      await this.#read(AbortSignal.timeout(5_000));
      const record = this.#record;
      if (record === undefined || this.holder !== identity) return;
      const spec = {
        ...record.spec,
        holderIdentity: '',
        leaseDurationSeconds: 1,
        renewTime: microTime(Date.now()),
      };
      this.#observe(
        await client.replace<Lease>(LEASE, { ...record, metadata: { ...record.metadata, ...lease }, spec }),
      );
      this.#logger.info({}, 'Lease released');
    } catch (error) {
      this.#logger.warn({ err: error }, 'Lease could not be released');
    }
  }
}

/** `metav1.MicroTime`, which takes six digits and nothing else. */
export function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
