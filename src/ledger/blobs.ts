import { createHash } from 'node:crypto';
import { uuidv7 } from '../core/ids.ts';
import type { Queryable } from './database.ts';
import { BLOB_CHUNK_BYTES } from './worker-ledger.ts';

/** A complete blob; equal content of one namespace is stored once. */
export interface CompleteBlob {
  blobId: string;
  /** Lower-case hexadecimal. */
  sha256: string;
  bytes: number;
}

/**
 * Writes one blob, chunk by chunk: at most one chunk of it is in memory. It can be read only once complete; one that is
 * never completed is swept by the controller, `discard` spares the wait.
 */
export class BlobWriter {
  readonly #db: Queryable;
  readonly #namespace: string;
  readonly #id = uuidv7();
  readonly #hash = createHash('sha256');
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #chunks = 0;
  #bytes = 0;

  constructor(db: Queryable, namespace: string) {
    this.#db = db;
    this.#namespace = namespace;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Resolves when there is room for more: the caller waits before it reads on. Not to be called again before that. */
  async write(data: Buffer): Promise<void> {
    this.#hash.update(data);
    this.#bytes += data.length;
    this.#pending.push(data);
    this.#pendingBytes += data.length;
    while (this.#pendingBytes >= BLOB_CHUNK_BYTES) {
      const all = Buffer.concat(this.#pending);
      await this.#store(all.subarray(0, BLOB_CHUNK_BYTES));
      const rest = all.subarray(BLOB_CHUNK_BYTES);
      this.#pending = rest.length === 0 ? [] : [rest];
      this.#pendingBytes = rest.length;
    }
  }

  /** Makes the blob readable; answers the id that the content is kept under, which may be an earlier blob's. */
  async complete(): Promise<CompleteBlob> {
    if (this.#pendingBytes > 0 || this.#chunks === 0) await this.#store(Buffer.concat(this.#pending));
    this.#pending = [];
    const sha256 = this.#hash.digest('hex');
    const { rows } = await this.#db.query<{ id: string }>(
      '/* blob-end */ select complete_blob($1, $2, $3, $4) as id',
      [this.#namespace, this.#id, sha256, this.#bytes],
    );
    return { blobId: rows[0]?.id ?? this.#id, sha256, bytes: this.#bytes };
  }

  /** Takes back what was written, unless it was completed. */
  async discard(): Promise<void> {
    this.#pending = [];
    if (this.#chunks === 0) return;
    await this.#db.query('/* blob-drop */ delete from blobs where id = $1 and not complete', [this.#id]);
  }

  async #store(data: Buffer): Promise<void> {
    if (this.#chunks === 0) {
      await this.#db.query('/* blob-begin */ insert into blobs (id, namespace) values ($1, $2)', [
        this.#id,
        this.#namespace,
      ]);
    }
    const n = this.#chunks;
    this.#chunks += 1;
    await this.#db.query('/* blob-chunk */ insert into blob_chunks (blob_id, n, data) values ($1, $2, $3)', [
      this.#id,
      n,
      data,
    ]);
  }
}

/** A job's blob with what is known of its content; `stored` is false when the content was swept. */
export interface OwnedBlob extends CompleteBlob {
  role: 'input' | 'result';
  name: string;
  mediaType: string;
  stored: boolean;
}

/** The blobs of a job of this namespace, in order. */
export async function listJobBlobs(
  db: Queryable,
  namespace: string,
  jobId: string,
  role: 'input' | 'result',
): Promise<OwnedBlob[]> {
  const { rows } = await db.query(
    `/* job-blobs */ select o.blob_id, o.role, o.name, o.media_type, b.sha256, b.bytes, b.id is not null as stored
     from job_blobs o left join blobs b on b.id = o.blob_id and b.namespace = $1 and b.complete
     where o.job_id = $2 and o.role = $3 order by o.n`,
    [namespace, jobId, role],
  );
  return rows.map((row) => ({
    blobId: row.blob_id,
    role: row.role,
    name: row.name,
    mediaType: row.media_type,
    sha256: row.sha256 ?? '',
    bytes: row.bytes ?? 0,
    stored: row.stored,
  }));
}

/** The content was swept while it was read, or before. */
export class BlobGoneError extends Error {
  override name = 'BlobGoneError';
}

/**
 * Reads bytes `start` (inclusive) to `end` (exclusive) of a blob, one chunk in memory at a time.
 *
 * @throws BlobGoneError when a chunk is not there.
 */
export async function* readBlob(
  db: Queryable,
  blobId: string,
  start: number,
  end: number,
): AsyncGenerator<Buffer> {
  const { rows } = await db.query<{ n: number; size: number }>(
    '/* blob-chunks */ select n, octet_length(data) as size from blob_chunks where blob_id = $1 order by n',
    [blobId],
  );
  let offset = 0;
  for (const { n, size } of rows) {
    const from = Math.max(start, offset) - offset;
    const until = Math.min(end, offset + size) - offset;
    offset += size;
    if (from >= until) continue;
    const { rows: found } = await db.query<{ data: Buffer }>(
      '/* blob-read */ select substring(data from $3 for $4) as data from blob_chunks where blob_id = $1 and n = $2',
      [blobId, n, from + 1, until - from],
    );
    if (found[0] === undefined) throw new BlobGoneError(`Chunk ${n} of blob ${blobId} is gone`);
    yield found[0].data;
  }
  if (offset < end) throw new BlobGoneError(`Blob ${blobId} ends at ${offset} of ${end} bytes`);
}
