import { createWriteStream, existsSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, startChild } from '../services/child.ts';
import { freePort } from '../services/ports.ts';
import type { DeathWatch } from './death-watch.ts';
import { CLI } from './run-cli.ts';
import { formatLogLine } from './terminal.ts';

const HOST = '127.0.0.1';
const READY_TIMEOUT_MS = 60_000;
const LAST_LINES = 15;

/**
 * On one machine the work must not make the people wait who submit it; in a cluster this is what CPU requests are for.
 * Below 0 is for root alone.
 */
const NICENESS: Record<string, number> = { api: -5, controller: 5, worker: 10 };

export interface LongshoreProcess {
  pid: number;
  healthUrl: string;
  child: Child;
}

export interface ProcessOptions {
  kind: string;
  /** Such as `worker-1`. */
  name: string;
  env: Record<string, string>;
  logDir: string;
  watch: DeathWatch;
  onLine?: ((process: string, line: string) => void) | undefined;
}

/** Starts `longshore <kind>`; its output goes to `<name>.log`, its errors to `<name>.err.log`. */
export async function startProcess(options: ProcessOptions): Promise<LongshoreProcess> {
  const { kind, name, logDir, watch } = options;
  const healthPort = await freePort();
  const logFile = join(logDir, `${name}.log`);
  const errorFile = join(logDir, `${name}.err.log`);
  const errorsBefore = existsSync(errorFile) ? statSync(errorFile).size : 0;
  const log = createWriteStream(logFile, { flags: 'a' });
  const lastLines: string[] = [];
  watch.signal.throwIfAborted();
  const child = await startChild({
    command: process.execPath,
    args: [CLI, kind],
    stopSignal: 'TERM',
    logFile: errorFile,
    env: { ...options.env, LONGSHORE_HEALTH_PORT: String(healthPort) },
    onLine(line) {
      log.write(`${line}\n`);
      lastLines.push(line);
      if (lastLines.length > LAST_LINES) lastLines.shift();
      options.onLine?.(name, line);
    },
    onDeath(end) {
      const report = (errors: string) => {
        const lines = [...lastLines.map((line) => formatLogLine(name, line)), errors.trimEnd()];
        watch.report({ name, end, logFile, lastLines: lines.filter((line) => line !== '').join('\n') });
      };
      readFrom(errorFile, errorsBefore).then(report, (error) => report(String(error)));
    },
  });
  setNiceness(child.pid, NICENESS[kind] ?? 0);
  return { pid: child.pid, healthUrl: `http://${HOST}:${healthPort}`, child };
}

/** Where Linux groups processes by session, niceness orders those of one session only: the session's own is in `autogroup`. */
function setNiceness(pid: number, niceness: number): void {
  try {
    setPriority(pid, niceness);
    writeFileSync(`/proc/${pid}/autogroup`, String(niceness));
  } catch {
    // Another system, or no right to: then it takes as much as the others.
  }
}

/** Waits until `/readyz` says so. Rejects with what is missing. */
export async function waitUntilReady(
  name: string,
  { healthUrl, child }: LongshoreProcess,
  { logDir, watch }: Pick<ProcessOptions, 'logDir' | 'watch'>,
): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  let missing = 'it does not answer';
  while (performance.now() < deadline) {
    // A death is told by the watch, with the last lines, in a moment.
    if (!child.hasExited()) {
      const answer = await fetch(`${healthUrl}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(
        () => null,
      );
      if (answer?.status === 200) return;
      if (answer !== null) missing = await answer.text();
    }
    watch.signal.throwIfAborted();
    await sleep(50);
  }
  throw new Error(`${name} is not ready: ${missing}; see ${join(logDir, `${name}.log`)} and ${name}.err.log`);
}

async function readFrom(file: string, offset: number): Promise<string> {
  await using handle = await open(file);
  const { buffer, bytesRead } = await handle.read({ position: offset, length: 16_384 });
  return buffer.toString('utf8', 0, bytesRead);
}
