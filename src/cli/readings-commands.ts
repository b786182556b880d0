import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { UsageError } from './usage-error.ts';

interface Common {
  namespace: string;
}

const TABLES = ['customers', 'meters', 'tariffs'] as const;
const KINDS = [...TABLES, 'readings'];

/** `longshore readings`: customers, meters, tariffs and readings, from and to files. Their code is loaded when it is asked for. */
export function addReadingsCommands(program: Command): void {
  const readings = program.command('readings').description('manage meters and their readings');
  readings
    .command('seed')
    .description('make customers with one meter each, and tariffs, to try things with; may be repeated')
    .option('-n, --namespace <namespace>', 'namespace that they belong to', 'default')
    .option('-c, --customers <count>', 'how many', '1000')
    .action(async (options: Common & { customers: string }) => {
      const count = Number(options.customers);
      if (!Number.isInteger(count) || count < 1 || count > 10_000_000)
        throw new UsageError('--customers takes a number from 1 to 10000000');
      const { seed } = await import('./readings-actions.ts');
      await seed(options.namespace, count);
    });
  readings
    .command('import <kind> <file>')
    .description(`take a CSV file of ${KINDS.join(', ')}; exits with 1 when rows were refused`)
    .option('-n, --namespace <namespace>', 'namespace that it belongs to', 'default')
    .option('--again', 'begin at the first line, also where an earlier run broke off')
    .action(async (kind: string, file: string, options: Common & { again?: boolean }) => {
      if (!existsSync(file)) throw new UsageError(`There is no file ${file}`);
      const { importFile, importRows } = await import('./readings-actions.ts');
      const table = TABLES.find((name) => name === kind);
      if (kind === 'readings') await importFile(file, options.namespace, options.again === true);
      else if (table !== undefined) await importRows(table, file, options.namespace);
      else throw new UsageError(`There is no kind "${kind}"; there are ${KINDS.join(', ')}`);
    });
  readings
    .command('export <month> [file]')
    .description(
      'write the readings of a month, such as 2030-01, as CSV; to the standard output without a file',
    )
    .option('-n, --namespace <namespace>', 'namespace that they belong to', 'default')
    .action(async (month: string, file: string | undefined, options: Common) => {
      if (!/^20\d{2}-(0[1-9]|1[0-2])$/.test(month))
        throw new UsageError(`"${month}" is no month such as 2030-01`);
      const { exportReadings } = await import('./readings-actions.ts');
      await exportReadings(month, file, options.namespace);
    });
}
