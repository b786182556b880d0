import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { ConfigError } from '../config/config.ts';
import { addAdminCommands } from './admin-commands.ts';
import { addProcessCommands } from './process-commands.ts';

/** A mistake of the caller: shown without a stack. */
const EXPECTED = new Set(['ConfigError', 'SchemaTooNewError', 'UsageError']);

const manifest = new URL('../../package.json', import.meta.url);

const program = new Command('longshore')
  .description(
    'Runs jobs that come over REST, by kubectl or by a schedule, on a queue, and loses none of them.',
  )
  .version((JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version)
  .showHelpAfterError('Run with --help to see what is possible.')
  .configureHelp({ sortSubcommands: false });

addProcessCommands(program);
addAdminCommands(program);

try {
  await program.parseAsync();
} catch (error) {
  const expected = error instanceof ConfigError || (error instanceof Error && EXPECTED.has(error.name));
  console.error(expected ? (error as Error).message : error);
  // A process that failed half-way through its start has connections open that would keep it alive, and useless.
  process.exit(1);
}
