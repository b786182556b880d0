import type { ChildEnd } from '../services/child.ts';

export interface Death {
  /** Such as `worker-1` or `Redis`. */
  name: string;
  end: ChildEnd;
  logFile: string;
  /** The last lines of the log. */
  lastLines: string;
}

/** Notices when a program of the stack ends that nobody ended: the rest is of no use without it, and would hide that. */
export class DeathWatch {
  readonly #failure = new AbortController();
  #isOver = false;

  /** Aborted with an error that says what died, how, and where to look. */
  get signal(): AbortSignal {
    return this.#failure.signal;
  }

  /** The first death counts; others may be its consequence. */
  report(death: Death): void {
    if (!this.#isOver) this.#failure.abort(new Error(describeDeath(death)));
  }

  /** Everything is being stopped: whatever ends from now on may. */
  end(): void {
    this.#isOver = true;
  }

  /** Answers as `work` does; rejects as soon as a program dies, whether or not `work` has come to an end. */
  async during<T>(work: Promise<T>): Promise<T> {
    const { promise: died, reject } = Promise.withResolvers<never>();
    const tell = () => reject(this.signal.reason);
    if (this.signal.aborted) tell();
    this.signal.addEventListener('abort', tell);
    try {
      return await Promise.race([work, died]);
    } finally {
      this.signal.removeEventListener('abort', tell);
    }
  }
}

/** What a person needs who sees it: which, how, the last words, what to do. */
export function describeDeath({ name, end: { code, signal }, logFile, lastLines }: Death): string {
  const how = signal === null ? `ended by itself with exit code ${code}` : `was ended by ${signal}`;
  const advice =
    signal === 'SIGKILL'
      ? 'If nobody killed it, the kernel did for want of memory ("dmesg" tells): free some and start again.'
      : 'Start again when the reason is gone.';
  return [
    `${name} ${how}; its log is ${logFile}`,
    ...(lastLines === '' ? [] : [lastLines.replaceAll(/^/gm, '  ')]),
    `Everything else is stopped. ${advice} What was accepted is in the ledger.`,
  ].join('\n');
}
