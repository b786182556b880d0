import { chownSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Child, type ChildEnd, startChild } from './child.ts';
import type { Owner } from './owner.ts';
import { withProgress } from './progress.ts';

/** What PostgreSQL and Redis are started with alike. */
export interface ServerOptions {
  /** Made when missing; one that is there is used again, with its data. */
  dataDir: string;
  /** Defaults to a free one. */
  port?: number;
  /** Called when the server ends and neither `stop`, `kill` nor `restart` ended it. */
  onDeath?(end: ChildEnd): void;
}

/** A server of our own on 127.0.0.1. */
export interface LocalServer {
  url: string;
  port: number;
  pid: number;
  logFile: string;
  /** Ends connections, writes everything and ends. */
  stop(): Promise<void>;
  /** SIGKILL to the server: a crash. */
  kill(): Promise<void>;
  /** Starts it again on the same port, after `stop` or `kill`, or stopping it first. */
  restart(): Promise<void>;
}

export interface ServerProgram {
  name: string;
  url: string;
  port: number;
  command: string;
  args: string[];
  stopSignal: 'INT' | 'TERM';
  logFile: string;
  owner: Owner | undefined;
  startTimeoutMs: number;
  /** Called before each start. */
  prepare?(): Promise<void>;
  /** Answers what is missing, or undefined when the server can be used. */
  probe(): Promise<string | undefined>;
  onDeath: ServerOptions['onDeath'];
}

/** Runs a server and waits until it can be used. */
export async function startServer(program: ServerProgram): Promise<LocalServer> {
  const { name, url, port, command, args, stopSignal, logFile, owner, onDeath } = program;
  const start = async () => {
    await program.prepare?.();
    const child = await startChild({
      ...{ command, args, stopSignal, logFile, user: owner },
      ...(onDeath === undefined ? {} : { onDeath }),
    });
    await withProgress(`Starting ${name}`, () => untilReady(program, child));
    return child;
  };
  let child = await start();
  return {
    url,
    port,
    logFile,
    get pid() {
      return child.pid;
    },
    stop: () => child.stop(),
    kill: () => child.kill(),
    async restart() {
      if (!child.hasExited()) await child.stop();
      child = await start();
    },
  };
}

/** A log file that the owner of the server may write. Answers its path. */
export function makeLogFile(dataDir: string, name: string, owner: Owner | undefined): string {
  const file = join(dataDir, name);
  if (!existsSync(file)) writeFileSync(file, '');
  if (owner !== undefined) chownSync(file, owner.uid, owner.gid);
  return file;
}

/** The last lines of a file; nothing when there is no such file. */
export function tailOf(file: string, lines = 15): string {
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n') : '';
}

async function untilReady(program: ServerProgram, child: Child): Promise<void> {
  const deadline = performance.now() + program.startTimeoutMs;
  for (;;) {
    const problem = await program.probe();
    if (problem === undefined) return;
    if (child.hasExited() || performance.now() > deadline) {
      await child.kill();
      throw new Error(
        `${program.name} did not start (${problem}); the end of ${program.logFile}:\n${tailOf(program.logFile)}`,
      );
    }
    await delay(25);
  }
}
