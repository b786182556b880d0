import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import busboy from 'busboy';
import { sanitizeText } from '../core/errors.ts';
import { BlobWriter } from '../ledger/blobs.ts';
import type { Database } from '../ledger/database.ts';
import { invalidInput, Problem } from './problem.ts';
import { tooLarge } from './read-body.ts';

export interface UploadOptions {
  db: Database;
  namespace: string;
  /** The largest file. */
  maxBytes: number;
  /** The longest time that the upload may take. */
  timeoutMs: number;
  /** How many first bytes `checkHead` wants to see. */
  headBytes: number;
  /** Throws a problem for a file that is not wanted, before anything of it is stored. */
  checkHead(head: Buffer): void;
}

/** An upload that arrived whole; its blob is not complete yet, so that a mistake in a field leaves nothing behind. */
export interface Upload {
  fields: Record<string, string>;
  file: { name: string; mediaType: string; writer: BlobWriter };
}

const MAX_FIELDS = 16;
const MAX_FIELD_BYTES = 1_024;
const MAX_NAME_LENGTH = 255;

/**
 * Reads `multipart/form-data` with one part `file`, straight into the ledger's chunks: the client is read no faster than
 * PostgreSQL writes. Rejects with a {@link Problem}, having taken back what was stored.
 */
export async function readUpload(req: IncomingMessage, options: UploadOptions): Promise<Upload> {
  const upload = new UploadReader(options);
  try {
    return await upload.read(req);
  } catch (error) {
    await upload.discard();
    throw error;
  }
}

class UploadReader {
  readonly #options: UploadOptions;
  readonly #fields: Record<string, string> = Object.create(null);
  readonly #writer: BlobWriter;
  #file: { name: string; mediaType: string } | undefined;
  /** One a file part, in their order; more than one is a mistake, but each has to come to an end. */
  readonly #stores: Promise<void>[] = [];

  constructor(options: UploadOptions) {
    this.#options = options;
    this.#writer = new BlobWriter(options.db, options.namespace);
  }

  async discard(): Promise<void> {
    await Promise.allSettled(this.#stores);
    await this.#writer.discard().catch(() => {});
  }

  read(req: IncomingMessage): Promise<Upload> {
    const parser = this.#createParser(req);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          fail(
            new Problem('RequestTimeout', 'The upload did not arrive in time', {
              headers: { Connection: 'close' },
            }),
          ),
        this.#options.timeoutMs,
      );
      const settle = () => {
        clearTimeout(timer);
        req.off('close', onClose).off('error', onClose);
      };
      const fail = (error: unknown) => {
        settle();
        req.unpipe(parser);
        parser.destroy();
        // What the client still sends is read and dropped, so that it gets to read the answer.
        req.resume();
        reject(error);
      };
      const onClose = () => {
        if (!req.complete) fail(invalidInput({ pointer: '/file', detail: 'the upload broke off' }));
      };
      parser.on('field', (name, value, info) => {
        const problem = this.#takeField(name, value, info.nameTruncated || info.valueTruncated);
        if (problem !== null) fail(problem);
      });
      parser.on('file', (name, stream, info) => {
        // A parser that is destroyed breaks its parts off: also one that nobody reads, whose error would end the process.
        stream.on('error', () => {});
        const stored = this.#takeFile(name, stream, info);
        stored.catch(fail);
        this.#stores.push(stored);
      });
      parser.on('fieldsLimit', () =>
        fail(invalidInput({ pointer: '', detail: `more than ${MAX_FIELDS} fields` })),
      );
      parser.on('partsLimit', () =>
        fail(invalidInput({ pointer: '', detail: `more than ${MAX_FIELDS} parts` })),
      );
      parser.on('error', () =>
        fail(invalidInput({ pointer: '', detail: 'the form is damaged or was cut off' })),
      );
      parser.on('close', () => {
        settle();
        Promise.all(this.#stores)
          .then(() => this.#finish())
          .then(resolve, reject);
      });
      req.on('close', onClose).on('error', onClose);
      req.pipe(parser);
    });
  }

  #createParser(req: IncomingMessage): busboy.Busboy {
    try {
      return busboy({
        headers: req.headers,
        defParamCharset: 'utf8',
        // One byte more than allowed: a file of exactly the limit is not too large.
        limits: {
          fields: MAX_FIELDS,
          parts: MAX_FIELDS + 1,
          fieldSize: MAX_FIELD_BYTES,
          fieldNameSize: 100,
          fileSize: this.#options.maxBytes + 1,
        },
      });
    } catch {
      throw new Problem('UnsupportedMediaType', 'Send the image as multipart/form-data');
    }
  }

  #takeField(name: string | undefined, value: string, truncated: boolean): Problem | null {
    const pointer = `/${sanitizeText(name ?? '', 100)}`;
    if (truncated) return invalidInput({ pointer, detail: `is longer than ${MAX_FIELD_BYTES} bytes` });
    if (name === undefined || name in this.#fields)
      return invalidInput({ pointer, detail: 'is given more than once' });
    if (name === 'file') return invalidInput({ pointer, detail: 'must be a file' });
    this.#fields[name] = value;
    return null;
  }

  async #takeFile(
    name: string,
    stream: Readable & { truncated?: boolean },
    info: busboy.FileInfo,
  ): Promise<void> {
    try {
      if (name !== 'file')
        throw invalidInput({ pointer: `/${sanitizeText(name ?? '', 100)}`, detail: 'is not known here' });
      if (this.#file !== undefined)
        throw invalidInput({ pointer: '/file', detail: 'is given more than once' });
      const fileName = sanitizeText((info.filename ?? '').toWellFormed(), MAX_NAME_LENGTH).trim();
      this.#file = {
        name: fileName === '' ? 'image' : fileName,
        mediaType: sanitizeText(info.mimeType ?? '', 100),
      };
      await this.#store(stream);
    } finally {
      // A part that nobody reads would keep the parser waiting for ever.
      stream.resume();
    }
    if (stream.truncated === true) throw tooLarge(this.#options.maxBytes);
  }

  async #store(stream: Readable): Promise<void> {
    let head: Buffer | undefined = Buffer.alloc(0);
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (head === undefined) {
        await this.#writer.write(chunk);
        continue;
      }
      head = Buffer.concat([head, chunk]);
      if (head.length < this.#options.headBytes) continue;
      this.#options.checkHead(head);
      await this.#writer.write(head);
      head = undefined;
    }
    if (head === undefined) return;
    if (head.length === 0) throw invalidInput({ pointer: '/file', detail: 'is empty' });
    this.#options.checkHead(head);
    await this.#writer.write(head);
  }

  #finish(): Upload {
    if (this.#file === undefined) throw invalidInput({ pointer: '/file', detail: 'is missing' });
    return { fields: { ...this.#fields }, file: { ...this.#file, writer: this.#writer } };
  }
}
