import type { Logger } from '../core/logger.ts';
import { withDeadline } from './wait-for.ts';

export interface ShutdownOptions {
  logger: Logger;
  /** Defaults to `process.exit`. */
  exit?: (code: number) => void;
}

interface Step {
  name: string;
  run(signal: AbortSignal): Promise<void> | void;
  timeoutMs: number;
}

/**
 * The way out of a process. Steps run one after another in the reverse order of their addition, so that what was
 * opened first closes last; each has a deadline, and one that fails or is late does not keep the others from running.
 */
export class Shutdown {
  readonly #logger: Logger;
  readonly #exit: (code: number) => void;
  readonly #steps: Step[] = [];
  readonly #controller = new AbortController();
  #done: Promise<number> | undefined;

  constructor(options: ShutdownOptions) {
    this.#logger = options.logger;
    this.#exit = options.exit ?? ((code) => process.exit(code));
  }

  /** Aborted when the shutdown begins. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** @param timeoutMs - The step is left behind after this long. Defaults to 5,000. */
  add(name: string, run: Step['run'], timeoutMs = 5_000): void {
    this.#steps.push({ name, run, timeoutMs });
  }

  /**
   * SIGTERM and SIGINT shut down in order, a second one exits at once with 128 + its number; an error that nobody
   * caught is logged and exits with 1, since what the process then holds in memory cannot be trusted.
   */
  install(): void {
    for (const [name, number] of [
      ['SIGTERM', 15],
      ['SIGINT', 2],
    ] as const) {
      process.on(name, () => this.#onSignal(name, number));
    }
    process.on('uncaughtException', (err) => this.#onBug(err, 'Exception was not caught'));
    process.on('unhandledRejection', (err) => this.#onBug(err, 'Rejection was not handled'));
  }

  /** Runs the steps once, however often it is called, and exits. Resolves with the exit code. */
  run(reason: string, code = 0): Promise<number> {
    this.#done ??= this.#runSteps(reason, code);
    return this.#done;
  }

  async #runSteps(reason: string, code: number): Promise<number> {
    const startedAt = performance.now();
    this.#logger.info({ reason }, 'Shutdown began');
    this.#controller.abort(new Error(`Shutting down: ${reason}`));
    let exitCode = code;
    for (const { name, run, timeoutMs } of this.#steps.toReversed()) {
      try {
        await withDeadline(run, timeoutMs);
      } catch (err) {
        exitCode ||= 1;
        this.#logger.error({ err, step: name, timeoutMs }, 'Shutdown step failed');
      }
    }
    this.#logger.info({ exitCode, durationMs: Math.round(performance.now() - startedAt) }, 'Shutdown ended');
    this.#exit(exitCode);
    return exitCode;
  }

  #onSignal(name: string, number: number): void {
    if (this.#done !== undefined) {
      this.#logger.warn({ signal: name }, 'Shutdown was cut short by a second signal');
      this.#exit(128 + number);
      return;
    }
    void this.run(name);
  }

  #onBug(err: unknown, message: 'Exception was not caught' | 'Rejection was not handled'): void {
    this.#logger.error({ err }, message);
    this.#exit(1);
  }
}
