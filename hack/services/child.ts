import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Runs its arguments until they end, or until descriptor 3 is closed: the kernel closes it when the parent is gone,
 * however it went, and then the program is interrupted. The program is waited for, so that it never outlives the shell
 * unseen.
 */
const GUARD = `
stop_signal=$1; shift
"$@" 3<&- </dev/null & pid=$!
echo "$pid"
( trap '' INT TERM; read -r _ <&3; kill -"$stop_signal" "$pid" 2>/dev/null ) >/dev/null 2>&1 &
exec 3<&- 1>&-
wait "$pid"
exit $?
`;

export interface ChildOptions {
  command: string;
  args: string[];
  /** Signal that ends the program in good order. */
  stopSignal: 'INT' | 'TERM';
  /** What the program prints goes to this file; with `onLine` only what it prints as errors. */
  logFile: string;
  /** Called with each line of the program's standard output. */
  onLine?(line: string): void;
  env?: NodeJS.ProcessEnv;
  user?: { uid: number; gid: number } | undefined;
  /** Called, after the last line, when the program ends and neither `stop` nor `kill` ended it. */
  onDeath?(end: ChildEnd): void;
}

/** How a program ended: by `process.exit` and its like, or by a signal. */
export interface ChildEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Child {
  pid: number;
  hasExited(): boolean;
  /** Ends it in good order; SIGKILL after `timeoutMs`. Defaults to 10,000. */
  stop(timeoutMs?: number): Promise<void>;
  /** SIGKILL: what a crash looks like. */
  kill(): Promise<void>;
}

/** Starts a program that does not outlive this process. */
export async function startChild(options: ChildOptions): Promise<Child> {
  const log = openSync(options.logFile, 'a');
  const shell = spawn(
    '/bin/sh',
    ['-c', GUARD, 'guard', options.stopSignal, options.command, ...options.args],
    {
      // A process group of its own: Ctrl-C reaches the parent alone, which then decides the order of the end.
      detached: true,
      stdio: ['ignore', 'pipe', log, 'pipe'],
      env: { ...process.env, ...options.env },
      ...options.user,
    },
  );
  closeSync(log);
  let exited = false;
  let isEnding = false;
  const exit = once(shell, 'exit').finally(() => {
    exited = true;
  });
  exit.catch(() => {});
  const guard = shell.stdio[3];
  guard?.on('error', () => {});
  const lines = createInterface({ input: shell.stdout as NonNullable<typeof shell.stdout> });
  const [line] = (await once(lines, 'line')) as [string];
  const pid = Number.parseInt(line, 10);
  lines.on('line', (text) => options.onLine?.(text));
  const closed = once(lines, 'close').catch(() => {});
  const reportDeath = async () => {
    const [code] = (await exit) as [number | null];
    if (isEnding) return;
    guard?.destroy();
    // Something that the program left behind may hold its output open.
    await Promise.race([closed, delay(1_000, undefined, { ref: false })]);
    options.onDeath?.(endOf(code));
  };
  reportDeath().catch(() => {});
  const end = async (signal: NodeJS.Signals, timeoutMs: number) => {
    isEnding = true;
    if (!exited) send(pid, signal);
    const timeout = new AbortController();
    await Promise.race([exit, delay(timeoutMs, undefined, { signal: timeout.signal }).catch(() => {})]);
    timeout.abort();
    if (!exited) send(pid, 'SIGKILL');
    await exit;
    guard?.destroy();
  };
  return {
    pid,
    hasExited: () => exited,
    stop: (timeoutMs = 10_000) => end(`SIG${options.stopSignal}`, timeoutMs),
    kill: () => end('SIGKILL', 5_000),
  };
}

/** A shell answers 128 and the signal's number for a program that a signal ended. */
function endOf(code: number | null): ChildEnd {
  const signal = Object.entries(constants.signals).find(([, number]) => number + 128 === code)?.[0];
  return signal === undefined ? { code, signal: null } : { code: null, signal: signal as NodeJS.Signals };
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}
