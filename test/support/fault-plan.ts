/**
 * What a lying store does to a statement. `before`: the connection breaks and nothing is executed. `after`: it is executed
 * and the connection breaks instead of an answer. `delay`: it comes late. `hang`: nothing ever comes, either way.
 */
export type Fault = 'before' | 'after' | 'delay' | 'hang';

/** Which calls of a name suffer what. Without `nth` and `every`: the next one. */
export interface FaultRule {
  name: string;
  fault: Fault;
  /** The n-th call of the name from the moment of the plan, from 1. */
  nth?: number;
  /** Every k-th call of the name. */
  every?: number;
  /** The most injections. Defaults to 1, with `every` to no limit. */
  times?: number;
  /** With `delay`. Defaults to 1 s. */
  delayMs?: number;
  /** Runs when the fault is certain (not sent on; executed, but not answered), before the client can notice. */
  onInjected?(decision: FaultDecision): Promise<void> | void;
}

export interface FaultDecision {
  rule: FaultRule;
  /** Number of the call among those of its name. */
  call: number;
  atMs: number;
  /** The fault really happened; of `after`, the store has answered. */
  verified: boolean;
  /** The store answered with an error: nothing was executed after all. */
  refused?: boolean;
}

export interface PlannedFault {
  /** Injections that really happened. */
  readonly verified: number;
  remove(): void;
}

interface LiveRule {
  rule: FaultRule;
  calls: number;
  injected: number;
  verified: number;
}

/** The rules of one lying store, and what became of them. */
export class FaultPlan {
  readonly decisions: FaultDecision[] = [];
  #rules: LiveRule[] = [];
  readonly #seen = new Map<string, number>();

  add(rule: FaultRule): PlannedFault {
    const live: LiveRule = { rule, calls: 0, injected: 0, verified: 0 };
    this.#rules.push(live);
    return {
      get verified() {
        return live.verified;
      },
      remove: () => {
        this.#rules = this.#rules.filter((other) => other !== live);
      },
    };
  }

  seen(name: string): number {
    return this.#seen.get(name) ?? 0;
  }

  get names(): string[] {
    return [...this.#seen.keys()].sort();
  }

  /** Counts a call; answers the fault that it suffers, if any. */
  decide(name: string): FaultDecision | undefined {
    const call = this.seen(name) + 1;
    this.#seen.set(name, call);
    let chosen: LiveRule | undefined;
    for (const live of this.#rules.filter(({ rule }) => rule.name === name)) {
      live.calls += 1;
      if (chosen === undefined && applies(live)) chosen = live;
    }
    if (chosen === undefined) return undefined;
    chosen.injected += 1;
    const decision = { rule: chosen.rule, call, atMs: performance.now(), verified: false };
    this.decisions.push(decision);
    return decision;
  }

  /** Notes that a fault really happened. */
  async verify(decision: FaultDecision): Promise<void> {
    decision.verified = true;
    const live = this.#rules.find(({ rule }) => rule === decision.rule);
    if (live !== undefined) live.verified += 1;
    await decision.rule.onInjected?.(decision);
  }
}

function applies({ rule, calls, injected }: LiveRule): boolean {
  if (injected >= (rule.times ?? (rule.every === undefined ? 1 : Number.POSITIVE_INFINITY))) return false;
  if (rule.nth !== undefined) return calls === rule.nth;
  return rule.every === undefined || calls % rule.every === 0;
}
