import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { ChildEnd } from '../services/child.ts';
import { tailOf } from '../services/server.ts';

export interface ChildProgramOptions {
  path: string;
  args: string[];
  /** Gets `<program>.log`. */
  logDir: string;
  detached: boolean;
  /** Between SIGTERM and SIGKILL. Defaults to 10,000. */
  stopTimeoutMs?: number;
  /** Called when the program ends and neither `stop` nor `kill` ended it. */
  onDeath?: ((end: ChildEnd) => void) | undefined;
}

/** A program of ours in the background that can be started again after it ended. */
export class ChildProgram {
  readonly #options: ChildProgramOptions;
  #child: ChildProcess | undefined;
  #isEnding = false;

  constructor(options: ChildProgramOptions) {
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves once the process exists, not once it is ready. */
  async start(): Promise<void> {
    const log = await open(this.logFile, 'a');
    try {
      const child = spawn(this.#options.path, this.#options.args, {
        stdio: ['ignore', log.fd, log.fd],
        detached: this.#options.detached,
      });
      await once(child, 'spawn');
      this.#child = child;
      this.#isEnding = false;
      child.once('exit', (code, signal) => {
        if (!this.#isEnding) this.#options.onDeath?.({ code, signal });
      });
    } finally {
      await log.close();
    }
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** The last lines of its log. */
  logTail(): string {
    return tailOf(this.logFile, 20);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) return;
    this.#isEnding = true;
    const ended = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), this.#options.stopTimeoutMs ?? 10_000);
    await ended;
    clearTimeout(timer);
  }

  get logFile(): string {
    return join(this.#options.logDir, `${basename(this.#options.path)}.log`);
  }
}
