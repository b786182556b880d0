import { styleText } from 'node:util';
import Table from 'cli-table3';

/** An empty table of text. Its headings stand out on a terminal only: a pipe, a file and `NO_COLOR` get plain text. */
export function createTable(headings: readonly string[]): Table.Table {
  // The package's own colours know neither terminals nor NO_COLOR.
  return new Table({
    head: headings.map((heading) => styleText('bold', heading)),
    style: { head: [], border: [] },
  });
}
