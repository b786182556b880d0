import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { ConfigError } from '../config/config.ts';
import { addAdminCommands } from './admin-commands.ts';
import { addClusterCommands } from './cluster-commands.ts';
import { addProcessCommands } from './process-commands.ts';
import { addRateCommands } from './rate-commands.ts';
import { addReadingsCommands } from './readings-commands.ts';

/** A mistake of the caller: shown without a stack. */
const EXPECTED = new Set(['ConfigError', 'CsvError', 'SchemaTooNewError', 'UsageError']);

const manifest = new URL('../../package.json', import.meta.url);

// A signal that process 1 of a container has no handler for is ignored by the kernel. Once a process has begun its own
// orderly shutdown, that one decides.
for (const [signal, code] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const) {
  process.on(signal, () => {
    if (process.listenerCount(signal) === 1) process.exit(code);
  });
}

const program = new Command('longshore')
  .description(
    'Runs jobs that come over REST, by kubectl or by a schedule, on a queue, and loses none of them.',
  )
  .version((JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version)
  .showHelpAfterError('Run with --help to see what is possible.')
  .configureHelp({ sortSubcommands: false });

addProcessCommands(program);
addAdminCommands(program);
addRateCommands(program);
addReadingsCommands(program);
addClusterCommands(program);

try {
  await program.parseAsync();
} catch (error) {
  const expected = error instanceof ConfigError || (error instanceof Error && EXPECTED.has(error.name));
  console.error(expected ? (error as Error).message : error);
  // A process that failed half-way through its start has connections open that would keep it alive, and useless.
  process.exit(1);
}
