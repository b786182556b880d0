/** A command as a Redis client sends it. */
export interface RespCommand {
  words: string[];
  bytes: Buffer;
}

/** Cuts what a client sent (RESP arrays of bulk strings) into commands; `rest` is the begun one. */
export function cutCommands(data: Buffer): { commands: RespCommand[]; rest: Buffer } {
  const commands: RespCommand[] = [];
  let at = 0;
  for (;;) {
    const length = measureReply(data, at);
    if (length === null) return { commands, rest: data.subarray(at) };
    const bytes = data.subarray(at, at + length);
    commands.push({ words: readWords(bytes), bytes });
    at += length;
  }
}

function readWords(command: Buffer): string[] {
  const words: string[] = [];
  let at = command.indexOf('\r\n') + 2;
  while (at < command.length) {
    const end = command.indexOf('\r\n', at);
    const bytes = Number(command.toString('latin1', at + 1, end));
    words.push(command.toString('utf8', end + 2, end + 2 + bytes));
    at = end + 2 + bytes + 2;
  }
  return words;
}

/** Values that hold `count` others (maps and attributes: twice as many), and those that hold `count` bytes. */
const AGGREGATES = new Map([
  ['*', 1],
  ['~', 1],
  ['>', 1],
  ['%', 2],
  ['|', 2],
]);
const BULKS = new Set(['$', '=', '!']);

/** The bytes of the RESP2 or RESP3 value that begins at `from`; null when it has not come whole. */
export function measureReply(data: Buffer, from: number): number | null {
  const end = data.indexOf('\r\n', from);
  if (end === -1) return null;
  const head = end + 2 - from;
  const kind = String.fromCharCode(data[from] ?? 0);
  const perItem = AGGREGATES.get(kind);
  if (perItem === undefined && !BULKS.has(kind)) return head;
  const count = Number(data.toString('latin1', from + 1, end));
  if (count < 0) return head;
  if (perItem === undefined) return from + head + count + 2 <= data.length ? head + count + 2 : null;
  let length = head;
  for (let n = 0; n < count * perItem; n += 1) {
    const item = measureReply(data, from + length);
    if (item === null) return null;
    length += item;
  }
  return length;
}
