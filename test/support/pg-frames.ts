/** One message of the PostgreSQL protocol; `type` is '' for the first of a connection, which has none. */
export interface PgFrame {
  type: string;
  bytes: Buffer;
}

/** Cuts a stream into messages: a byte of type, then a length that counts itself. */
export class PgFrames {
  #rest: Buffer = Buffer.alloc(0);
  #startup: boolean;

  constructor({ startup }: { startup: boolean }) {
    this.#startup = startup;
  }

  push(data: Buffer): PgFrame[] {
    this.#rest = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data]);
    const frames: PgFrame[] = [];
    for (;;) {
      const header = this.#startup ? 0 : 1;
      if (this.#rest.length < header + 4) return frames;
      const length = header + this.#rest.readUInt32BE(header);
      if (this.#rest.length < length) return frames;
      const type = this.#startup ? '' : String.fromCharCode(this.#rest[0] ?? 0);
      frames.push({ type, bytes: this.#rest.subarray(0, length) });
      this.#rest = this.#rest.subarray(length);
      this.#startup = false;
    }
  }
}

/**
 * The name of the statement that a client's message carries, or null when it carries none: its leading comment, else its
 * first word in lower case (`begin`, `commit`, `select`).
 */
export function statementName({ type, bytes }: PgFrame): string | null {
  if (type !== 'Q' && type !== 'P') return null;
  // Query: the text. Parse: the name of the prepared statement, then the text.
  const start = type === 'Q' ? 5 : bytes.indexOf(0, 5) + 1;
  const text = bytes.toString('utf8', start, Math.min(bytes.length, start + 200));
  const comment = /^\s*\/\*\s*([\w-]+)/.exec(text);
  return comment?.[1] ?? /^\s*(\w+)/.exec(text)?.[1]?.toLowerCase() ?? null;
}
