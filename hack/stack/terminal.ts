import { styleText } from 'node:util';

const LEVELS: Record<string, Parameters<typeof styleText>[0]> = {
  debug: 'gray',
  info: 'cyan',
  warn: 'yellow',
  error: 'red',
};
const NAMES: Parameters<typeof styleText>[0][] = ['blue', 'magenta', 'green', 'cyan'];
const HIDDEN = new Set(['level', 'time', 'pid', 'hostname', 'name', 'msg', 'err', 'worker']);

/** One JSON log line of a process as a person reads it, with the process's name before it. */
export function formatLogLine(process: string, line: string): string {
  const hue = NAMES[[...process].reduce((sum, char) => sum + char.charCodeAt(0), 0) % NAMES.length] ?? 'blue';
  const prefix = styleText(hue, process.padEnd(10));
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return `${prefix} ${line}`;
  }
  const level = String(entry.level ?? 'info');
  const fields = Object.entries(entry)
    .filter(([key]) => !HIDDEN.has(key))
    .map(([key, value]) =>
      styleText('gray', `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`),
    );
  const error = (entry.err as { message?: string } | undefined)?.message;
  if (error !== undefined) fields.push(styleText('red', error));
  const time = String(entry.time ?? '').slice(11, 19);
  return `${prefix} ${time} ${styleText(LEVELS[level] ?? 'white', level.padEnd(5))} ${entry.msg} ${fields.join(' ')}`;
}

export function levelOf(line: string): string {
  return /"level":"(\w+)"/.exec(line)?.[1] ?? 'info';
}

/** A block of lines at the foot of the terminal that is drawn again and again; other lines go above it. */
export class LiveBlock {
  readonly #out = process.stdout;
  #height = 0;

  /** Whether the terminal can redraw; in a log every state would be printed anew. */
  get isLive(): boolean {
    return this.#out.isTTY === true;
  }

  draw(lines: readonly string[]): void {
    if (!this.isLive) return;
    this.#erase();
    const rows = Math.max(5, (this.#out.rows ?? 24) - 2);
    const shown =
      lines.length > rows ? [...lines.slice(0, rows - 1), `… and ${lines.length - rows + 1} more`] : lines;
    this.#out.write(`${shown.join('\n')}\n`);
    this.#height = shown.length;
  }

  /** Prints a line above the block, which the next `draw` brings back. */
  print(line: string): void {
    this.#erase();
    this.#out.write(`${line}\n`);
  }

  #erase(): void {
    if (this.#height > 0) this.#out.write(`\u001b[${this.#height}A\u001b[0J`);
    this.#height = 0;
  }
}
