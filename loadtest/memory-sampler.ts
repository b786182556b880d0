import { readFileSync } from 'node:fs';
import type { Stack } from '../hack/stack/stack.ts';

/** Watches the resident memory of Longshore's processes, twice a second. */
export class MemorySampler {
  readonly #stack: Stack;
  readonly #peaks = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(stack: Stack) {
    this.#stack = stack;
    this.#timer = setInterval(() => this.#sample(), 500).unref();
  }

  /** Ends the watch; answers the peak of each process in bytes. */
  stop(): Record<string, number> {
    clearInterval(this.#timer);
    return Object.fromEntries(this.#peaks);
  }

  #sample(): void {
    for (const [name, { pid }] of this.#stack.processes) {
      const bytes = residentBytes(pid);
      if (bytes > (this.#peaks.get(name) ?? 0)) this.#peaks.set(name, bytes);
    }
  }
}

/** 0 for a process that is not there. */
function residentBytes(pid: number): number {
  try {
    const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kib ?? 0) * 1_024;
  } catch {
    return 0;
  }
}
